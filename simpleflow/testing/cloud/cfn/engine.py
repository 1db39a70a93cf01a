"""Carrying stacks out: create, update, delete and roll back, one resource after the other."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NoReturn

import botocore.exceptions

from simpleflow.testing.cloud.cfn import (
    intrinsics,
    kinds,
    kinds_account,
    kinds_machines,
    kinds_network,
    schema,
    stacks,
    template,
)
from simpleflow.testing.cloud.wire import errors

TABLE: dict[str, kinds.Kind] = {**kinds_account.TABLE, **kinds_machines.TABLE, **kinds_network.TABLE}


class Failed(errors.CloudError):
    """A resource could not be made, changed or deleted."""


class Interrupted(errors.CloudError):
    """The cloud was closed in the middle of a stack."""


class Engine:
    """Carries changes of one account's stacks out.

    Args:
        region: the region.
        zones: its zones.
        api: gives a client of a service on behalf of a stack's caller.
        imports: finds an export's value.
        wait: waits a moment between looks; returns False when waiting is over.
        closed: whether the cloud was closed.
    """

    def __init__(
        self,
        *,
        region: str,
        zones: tuple[str, ...],
        api: Callable[[stacks.Stack, str], Any],
        imports: Callable[[str], str],
        wait: Callable[[int], bool],
        closed: Callable[[], bool],
    ) -> None:
        self._region = region
        self._zones = zones
        self._api = api
        self._imports = imports
        self._wait = wait
        self._closed = closed

    # --- the four operations ------------------------------------------------------------------------------------

    def create(self, stack: stacks.Stack, *, on_failure: str) -> None:
        """Make every resource; on failure roll back, delete, or stop, as asked."""
        try:
            self._bring(stack, stack.given, done=[])
            stack.outputs = self.outputs(stack, stack.given, stack)
            stack.tell("CREATE_COMPLETE")
        except Failed as error:
            if on_failure == "DO_NOTHING":
                stack.tell("CREATE_FAILED", str(error))
                return
            stack.tell("ROLLBACK_IN_PROGRESS", f"{error} Rollback requested by user.")
            left = self._delete_all(stack, list(stack.resources.values()), undo=True)
            if left:
                stack.tell("ROLLBACK_FAILED", f"The following resource(s) failed to delete: [{', '.join(left)}]. ")
            elif on_failure == "DELETE":
                stack.tell("DELETE_COMPLETE")
            else:
                stack.tell("ROLLBACK_COMPLETE")

    def update(self, stack: stacks.Stack, given: stacks.Given) -> None:
        """Change a stack into what was given; on failure change it back."""
        before = stack.given
        kept = {name: copy.deepcopy(resource) for name, resource in stack.resources.items()}
        replaced: list[stacks.Resource] = []
        done: list[str] = []
        stack.given = given
        try:
            self._bring(stack, given, done=done, replaced=replaced, retag=before.tags != given.tags)
            outputs = self.outputs(stack, given, stack)
        except Failed as error:
            stack.tell("UPDATE_ROLLBACK_IN_PROGRESS", str(error))
            self._undo(stack, before, kept, done)
            return
        stack.outputs = outputs
        stack.tell("UPDATE_COMPLETE_CLEANUP_IN_PROGRESS")
        wanted = self._included(stack, given)
        gone = [resource for name, resource in stack.resources.items() if name not in wanted]
        for resource in gone:
            stack.resources.pop(resource.name)
        self._delete_all(stack, [*gone, *replaced], old=before)
        stack.tell("UPDATE_COMPLETE")

    def delete(self, stack: stacks.Stack, *, retain: Iterable[str] = ()) -> None:
        """Delete every resource, in the reverse of the order of its dependencies."""
        left = self._delete_all(stack, list(stack.resources.values()), retain=frozenset(retain))
        if left:
            stack.tell("DELETE_FAILED", f"The following resource(s) failed to delete: [{', '.join(left)}]. ")
        else:
            stack.outputs = []
            stack.tell("DELETE_COMPLETE")

    def _undo(
        self, stack: stacks.Stack, before: stacks.Given, kept: dict[str, stacks.Resource], done: list[str]
    ) -> None:
        trouble: list[str] = []
        fresh: list[stacks.Resource] = []
        for name in reversed(done):
            resource = stack.resources[name]
            old = kept.get(name)
            if old is None or old.physical != resource.physical:
                fresh.append(resource)
                continue
            try:
                self._change(stack, resource, old.properties, self._context(stack, before, name))
            except Failed:
                trouble.append(name)
        stack.given = before
        for name in [n for n in stack.resources if n not in kept]:
            if stack.resources[name] not in fresh:
                fresh.append(stack.resources[name])
        for resource in fresh:
            stack.resources.pop(resource.name, None)
        for name, old in kept.items():
            stack.resources.setdefault(name, old)
        if trouble:
            stack.tell(
                "UPDATE_ROLLBACK_FAILED", f"The following resource(s) failed to update: [{', '.join(trouble)}]. "
            )
            return
        stack.tell("UPDATE_ROLLBACK_COMPLETE_CLEANUP_IN_PROGRESS")
        self._delete_all(stack, [one for one in fresh if one.physical], undo=True)
        stack.tell("UPDATE_ROLLBACK_COMPLETE")

    # --- bringing resources about -------------------------------------------------------------------------------

    def _included(self, stack: stacks.Stack, given: stacks.Given) -> list[str]:
        scope = self.scope(stack, given, stack)
        bodies = given.body["Resources"]
        return [name for name in template.order(bodies) if scope.included(bodies[name])]

    def _bring(
        self,
        stack: stacks.Stack,
        given: stacks.Given,
        *,
        done: list[str],
        replaced: list[stacks.Resource] | None = None,
        retag: bool = False,
    ) -> None:
        scope = self.scope(stack, given, stack)
        for name in self._included(stack, given):
            if self._closed():
                raise Interrupted(f"the cloud was closed while stack {stack.name} was under way")
            body = given.body["Resources"][name]
            resource = stack.resources.get(name)
            try:
                properties = scope.value(body.get("Properties", {}))
            except (errors.ApiError, TypeError, ValueError, LookupError) as error:
                failed = resource or stacks.Resource(name=name, type=body["Type"])
                stack.resources.setdefault(name, failed)
                self._fail(stack, failed, "UPDATE" if resource else "CREATE", str(error))
            context = self._context(stack, given, name)
            deletion, replacement = stacks.policies(body)
            if resource is not None and resource.type != body["Type"]:
                self._fail(stack, resource, "UPDATE", f"Update of resource type is not permitted: {name}")
            if resource is None:
                resource = stacks.Resource(name=name, type=body["Type"], properties=properties)
                resource.deletion, resource.replacement = deletion, replacement
                stack.resources[name] = resource
                done.append(name)
                self._make(stack, resource, context, "CREATE")
            elif resource.properties != properties or (retag and "Tags" in TABLE[resource.type].mutable):
                changed = {
                    key
                    for key in {*resource.properties, *properties}
                    if resource.properties.get(key) != properties.get(key)
                }
                if changed & schema.create_only(resource.type, self._region):
                    fresh = stacks.Resource(name=name, type=resource.type, properties=properties)
                    fresh.deletion, fresh.replacement = deletion, replacement
                    old = resource
                    stack.resources[name] = fresh
                    done.append(name)
                    stack.mark(fresh, "UPDATE_IN_PROGRESS", "Requested update requires the creation of a new physical "
                               "resource; hence creating one.")  # fmt: skip
                    self._make(stack, fresh, context, "UPDATE")
                    if replaced is not None and replacement != "Retain":
                        replaced.append(old)
                else:
                    done.append(name)
                    self._change(stack, resource, properties, context)
            resource = stack.resources[name]
            resource.deletion, resource.replacement = deletion, replacement

    def _make(self, stack: stacks.Stack, resource: stacks.Resource, context: kinds.Context, verb: str) -> None:
        kind = self._kind(stack, resource, resource.properties, verb)
        if verb == "CREATE":
            stack.mark(resource, "CREATE_IN_PROGRESS")
        try:
            made = kind.create(context, resource.properties)
        except botocore.exceptions.ClientError as error:
            self._fail(stack, resource, verb, _words(error, resource.type))
        except (LookupError, TypeError, ValueError, botocore.exceptions.BotoCoreError) as error:
            self._fail(stack, resource, verb, f"{type(error).__name__}: {error}")
        resource.physical = kind.ref(made)
        resource.attributes = made.attributes
        for other in stack.resources.values():
            if other.physical == kind.touched(resource.properties) != "":
                other.attributes |= TABLE[other.type].read(context, other.physical)
        if verb == "CREATE":
            stack.mark(resource, "CREATE_IN_PROGRESS", "Resource creation Initiated")
        stack.mark(resource, f"{verb}_COMPLETE")

    def _change(
        self, stack: stacks.Stack, resource: stacks.Resource, properties: dict[str, Any], context: kinds.Context
    ) -> None:
        kind = self._kind(stack, resource, properties, "UPDATE")
        old = resource.properties
        changed = {key for key in {*old, *properties} if old.get(key) != properties.get(key)}
        if fixed := sorted(changed - kind.mutable):
            self._fail(stack, resource, "UPDATE", f"NotRehearsed: a change of {', '.join(fixed)} of {resource.type}")
        stack.mark(resource, "UPDATE_IN_PROGRESS")
        try:
            attributes = kind.update(context, resource.physical, old, properties)
        except botocore.exceptions.ClientError as error:
            self._fail(stack, resource, "UPDATE", _words(error, resource.type))
        except (LookupError, TypeError, ValueError, botocore.exceptions.BotoCoreError) as error:
            self._fail(stack, resource, "UPDATE", f"{type(error).__name__}: {error}")
        resource.properties = properties
        resource.attributes |= attributes or {}
        stack.mark(resource, "UPDATE_COMPLETE")

    def _kind(
        self, stack: stacks.Stack, resource: stacks.Resource, properties: dict[str, Any], verb: str
    ) -> kinds.Kind:
        kind = TABLE.get(resource.type)
        refused = schema.faults(resource.type, self._region, properties)
        if refused:
            self._fail(
                stack, resource, verb, f"Properties validation failed for resource {resource.name} with message: "
                f"[{', '.join(refused)}]",
            )  # fmt: skip
        if kind is None:
            self._fail(stack, resource, verb, f"NotRehearsed: {resource.type}")
        odd = sorted(set(properties) - kind.handled)
        if odd:
            self._fail(stack, resource, verb, f"NotRehearsed: {', '.join(odd)} of {resource.type}")
        return kind

    def _fail(self, stack: stacks.Stack, resource: stacks.Resource, verb: str, reason: str) -> NoReturn:
        stack.mark(resource, f"{verb}_FAILED", reason)
        word = {"CREATE": "create", "UPDATE": "update"}[verb]
        raise Failed(f"The following resource(s) failed to {word}: [{resource.name}].")

    # --- deleting -----------------------------------------------------------------------------------------------

    def _delete_all(
        self,
        stack: stacks.Stack,
        removed: list[stacks.Resource],
        *,
        undo: bool = False,
        retain: frozenset[str] = frozenset(),
        old: stacks.Given | None = None,
    ) -> list[str]:
        """Delete resources in reverse order; returns the names of those that would not go."""
        given = old or stack.given
        order = {name: place for place, name in enumerate(template.order(given.body["Resources"]))}
        needs = {name: set(template.references(body)) for name, body in given.body["Resources"].items()}
        failed: list[str] = []
        held: set[str] = set()
        for resource in sorted(removed, key=lambda one: -order.get(one.name, -1)):
            if self._closed():
                raise Interrupted(f"the cloud was closed while stack {stack.name} was under way")
            kept = resource.deletion == "Retain" or (resource.deletion == "RetainExceptOnCreate" and not undo)
            if kept or resource.name in retain:
                if resource.physical:
                    stack.mark(resource, "DELETE_SKIPPED")
                _forget(stack, resource)
                continue
            if not resource.physical:
                _forget(stack, resource)
                continue
            if resource.name in held:
                # what would not go still needs it
                held |= needs.get(resource.name, set())
                continue
            stack.mark(resource, "DELETE_IN_PROGRESS")
            try:
                TABLE[resource.type].delete(
                    self._context(stack, given, resource.name), resource.physical, resource.properties
                )
            except botocore.exceptions.ClientError as error:
                if not kinds.gone(error):
                    failed.append(resource.name)
                    held |= needs.get(resource.name, set())
                    stack.mark(resource, "DELETE_FAILED", _words(error, resource.type))
                    continue
            stack.mark(resource, "DELETE_COMPLETE")
            _forget(stack, resource)
        return failed

    # --- what it needs ------------------------------------------------------------------------------------------

    def _context(self, stack: stacks.Stack, given: stacks.Given, name: str) -> kinds.Context:
        looks = iter(range(10_000))
        return kinds.Context(
            api=lambda service: self._api(stack, service),
            stack=stack.name,
            logical=name,
            region=self._region,
            tags=given.tags,
            wait=lambda: self._wait(next(looks)),
        )

    def scope(self, stack: stacks.Stack, given: stacks.Given, resources: intrinsics.Resources) -> intrinsics.Scope:
        """What evaluates a template for a stack."""
        return intrinsics.Scope(
            given.body,
            given.parameters,
            stack=(stack.name, stack.id),
            region=self._region,
            zones=self._zones,
            resources=resources,
            imports=self._imports,
        )

    def outputs(
        self, stack: stacks.Stack, given: stacks.Given, resources: intrinsics.Resources
    ) -> list[dict[str, Any]]:
        """Evaluate the outputs."""
        scope = self.scope(stack, given, resources)
        found = []
        for name, body in given.body.get("Outputs", {}).items():
            if not scope.included(body):
                continue
            output = {"OutputKey": name, "OutputValue": scope.value(body["Value"])}
            if "Description" in body:
                output["Description"] = body["Description"]
            if "Export" in body:
                output["ExportName"] = scope.value(body["Export"]["Name"])
            found.append(output)
        return found

    def changes(self, stack: stacks.Stack, given: stacks.Given) -> list[stacks.Change]:
        """What an update would do, without doing it; [] when there is nothing to do."""
        planned = stacks.Planned(stack)
        scope = self.scope(stack, given, planned)
        bodies = given.body["Resources"]
        found = []
        wanted = [name for name in template.order(bodies) if scope.included(bodies[name])]
        for name in wanted:
            kind = bodies[name]["Type"]
            properties = scope.value(bodies[name].get("Properties", {}))
            resource = stack.resources.get(name)
            if resource is None:
                planned.fresh.add(name)
                found.append(stacks.Change(action="Add", name=name, type=kind))
                continue
            changed = tuple(
                sorted(
                    key
                    for key in {*resource.properties, *properties}
                    if resource.properties.get(key) != properties.get(key)
                )
            )
            tagged = given.tags != stack.given.tags and kind in TABLE and "Tags" in TABLE[kind].mutable
            if (
                not changed
                and not tagged
                and stacks.policies(bodies[name]) == (resource.deletion, resource.replacement)
            ):
                continue
            replaced = bool(set(changed) & schema.create_only(kind, self._region))
            (planned.fresh if replaced else planned.touched).add(name)
            found.append(
                stacks.Change(
                    action="Modify",
                    name=name,
                    type=kind,
                    physical=resource.physical,
                    replacement="True" if replaced else "False",
                    details=changed,
                )
            )
        for name, resource in stack.resources.items():
            if name not in wanted:
                found.append(stacks.Change(action="Remove", name=name, type=resource.type, physical=resource.physical))
        return found

    def nothing_to_do(self, stack: stacks.Stack, given: stacks.Given) -> bool:
        """Whether an update would change neither a resource nor an output."""
        if self.changes(stack, given):
            return False
        return self.outputs(stack, given, stacks.Planned(stack)) == stack.outputs


def _forget(stack: stacks.Stack, resource: stacks.Resource) -> None:
    if stack.resources.get(resource.name) is resource:
        del stack.resources[resource.name]


def _words(error: botocore.exceptions.ClientError, kind: str) -> str:
    body: Mapping[str, Any] = error.response
    service = kind.split("::")[1]
    status = body.get("ResponseMetadata", {}).get("HTTPStatusCode", 400)
    return (
        f"{body['Error'].get('Message', '')} (Service: {service}, Status Code: {status}, "
        f"Error Code: {body['Error']['Code']})"
    )
