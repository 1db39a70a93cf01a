"""CloudFormation's calls."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import unquote, urlsplit

import botocore.exceptions

from simpleflow.core import clock as clocks
from simpleflow.testing.cloud.cfn import changesets, describe, engine, stacks, template
from simpleflow.testing.cloud.ec2 import filters
from simpleflow.testing.cloud.wire import clients, errors, ids, principals, requests

_SSM = "AWS::SSM::Parameter::Value<"


class CloudFormation:
    """Stacks, change sets and exports of the account.

    Args:
        clock: the cloud's clock; with a virtual one a stack is done when its call returns.
        lock: held around changes of what describes show.
        maker: makes ids.
        clients: gives clients on behalf of a stack's caller.
        directory: knows the callers' keys.
        region: the region.
        zones: its zones.
        patience: seconds that a deletion waits for a group's members to end.
    """

    def __init__(
        self,
        *,
        clock: clocks.Clock,
        maker: ids.Ids,
        clients: clients.Clients,
        directory: principals.Directory,
        region: str,
        zones: tuple[str, ...],
        patience: float,
    ) -> None:
        self._clock = clock
        self._ids = maker
        self._clients = clients
        self._directory = directory
        self._region = region
        self._patience = patience
        self._stacks: dict[str, stacks.Stack] = {}
        self._closing = threading.Event()
        self._threads: list[threading.Thread] = []
        self._engine = engine.Engine(
            region=region,
            zones=zones,
            api=self._client,
            imports=self._import,
            wait=self._wait,
            closed=self._closing.is_set,
        )
        #: answers the calls on change sets
        self.change_sets = changesets.ChangeSets(
            clock,
            self._engine,
            find=self._find,
            given=self._given,
            begin=self._begin,
            update=self._update,
            work=self._work,
        )

    def close(self) -> None:
        """End operations under way at their next step."""
        self._closing.set()
        for thread in self._threads:
            thread.join()

    def _client(self, stack: stacks.Stack, service: str) -> Any:
        return self._clients.client(service, self._directory.keys_of(stack.principal), via="cloudformation")

    def _wait(self, look: int) -> bool:
        step = 0.1
        if isinstance(self._clock, clocks.VirtualClock) or look * step >= self._patience:
            return False
        return not self._closing.wait(step)

    def _work(self, operation: Callable[[], None]) -> None:
        def guarded() -> None:
            try:
                operation()
            except engine.Interrupted:
                return

        if isinstance(self._clock, clocks.VirtualClock):
            guarded()
            return
        thread = threading.Thread(target=guarded, name="emulated-cloudformation", daemon=True)
        self._threads.append(thread)
        thread.start()

    # --- finding ------------------------------------------------------------------------------------------------

    def _find(self, name: str, *, deleted: bool = False) -> stacks.Stack:
        living = [s for s in self._stacks.values() if s.status != "DELETE_COMPLETE"]
        for stack in [*living, *self._stacks.values()]:
            if stack.id == name and (deleted or stack.status != "DELETE_COMPLETE"):
                return stack
            if stack.name == name and stack.status != "DELETE_COMPLETE":
                return stack
        raise template.invalid(f"Stack with id {name} does not exist")

    def _import(self, name: str) -> str:
        for stack in self._stacks.values():
            for output in stack.outputs:
                if output.get("ExportName") == name:
                    return str(output["OutputValue"])
        raise template.invalid(f"No export named {name} found.")

    def _importers(self, name: str) -> list[str]:
        found = []
        for stack in self._stacks.values():
            if not stack.resources:
                continue
            scope = self._engine.scope(stack, stack.given, stack)
            if any(scope.value(one) == name for one in template.imports(stack.given.body)):
                found.append(stack.name)
        return found

    # --- what was given -----------------------------------------------------------------------------------------

    def _given(self, request: requests.Request, before: stacks.Given | None) -> stacks.Given:
        params = request.params
        if params.get("UsePreviousTemplate") and before is not None:
            text = before.text
        elif "TemplateBody" in params:
            text = params["TemplateBody"]
            if len(text.encode()) > template.BODY_LIMIT:
                raise template.invalid(
                    "1 validation error detected: Value at 'templateBody' failed to satisfy constraint: Member must "
                    f"have length less than or equal to {template.BODY_LIMIT}"
                )
        elif "TemplateURL" in params:
            text = self._fetch(params["TemplateURL"], request)
        else:
            raise template.invalid("Either Template URL or Template Body must be specified.")
        body = template.read(text)
        needed = template.capabilities(body)
        given = set(params.get("Capabilities", []))
        if needed and "CAPABILITY_NAMED_IAM" not in given and needed not in given:
            raise errors.ApiError("InsufficientCapabilitiesException", f"Requires capabilities : [{needed}]")
        asked, resolved = self._parameters(body, params.get("Parameters", []), before, request)
        tags = {t["Key"]: t["Value"] for t in params["Tags"]} if "Tags" in params else before.tags if before else {}
        return stacks.Given(body=body, text=text, asked=asked, parameters=resolved, tags=tags)

    def _fetch(self, url: str, request: requests.Request) -> str:
        parts = urlsplit(url)
        path = unquote(parts.path).lstrip("/")
        host = parts.hostname or ""
        bucket, key = (host.split(".s3")[0], path) if ".s3" in host else tuple(path.split("/", 1))
        s3 = self._clients.client("s3", self._directory.keys_of(request.principal), via="cloudformation")
        try:
            text: str = s3.get_object(Bucket=bucket, Key=key)["Body"].read().decode()
        except botocore.exceptions.ClientError as error:
            raise template.invalid(f"S3 error: {error.response['Error'].get('Message', 'Access Denied')}") from error
        if len(text.encode()) > template.URL_LIMIT:
            raise template.invalid(f"Template may not exceed {template.URL_LIMIT} bytes in size.")
        return text

    def _parameters(
        self,
        body: Mapping[str, Any],
        given: list[dict[str, Any]],
        before: stacks.Given | None,
        request: requests.Request,
    ) -> tuple[dict[str, str], dict[str, Any]]:
        declared = body.get("Parameters", {})
        unknown = [one["ParameterKey"] for one in given if one["ParameterKey"] not in declared]
        if unknown:
            raise template.invalid(f"Parameters: [{', '.join(unknown)}] do not exist in the template")
        asked: dict[str, str] = {}
        for one in given:
            key = one["ParameterKey"]
            if one.get("UsePreviousValue") and before is not None:
                asked[key] = before.asked[key]
            else:
                asked[key] = one.get("ParameterValue", "")
        resolved: dict[str, Any] = {}
        missing = [k for k, p in declared.items() if k not in asked and "Default" not in p]
        if missing:
            raise template.invalid(f"Parameters: [{', '.join(missing)}] must have values")
        for key, declaration in declared.items():
            if key not in asked:
                asked[key] = str(declaration["Default"])
            value = asked[key]
            if "AllowedValues" in declaration and value not in map(str, declaration["AllowedValues"]):
                allowed = ", ".join(map(str, declaration["AllowedValues"]))
                raise template.invalid(f"Parameter '{key}' must be one of AllowedValues [{allowed}]")
            kind = declaration["Type"]
            if kind.startswith(_SSM):
                value = self._ssm(value, request)
                kind = kind.removeprefix(_SSM).rstrip(">")
            resolved[key] = value.split(",") if "List<" in kind or kind == "CommaDelimitedList" else value
        return asked, resolved

    def _ssm(self, name: str, request: requests.Request) -> str:
        client = self._clients.client("ssm", self._directory.keys_of(request.principal), via="cloudformation")
        found = client.get_parameters(Names=[name])["Parameters"]
        if not found:
            raise template.invalid(f"Unable to fetch parameters [{name}] from parameter store for this account.")
        return str(found[0]["Value"])

    # --- stacks -------------------------------------------------------------------------------------------------

    @requests.handles("cloudformation:CreateStack")
    def create_stack(self, request: requests.Request) -> dict[str, Any]:
        """Begin a stack."""
        stack = self._begin(request, self._given(request, None))
        params = request.params
        on_failure = params.get("OnFailure") or ("DO_NOTHING" if params.get("DisableRollback") else "ROLLBACK")
        stack.protected = bool(params.get("EnableTerminationProtection"))
        stack.tell("CREATE_IN_PROGRESS", "User Initiated")
        self._work(lambda: self._engine.create(stack, on_failure=on_failure))
        return {"StackId": stack.id}

    def _begin(self, request: requests.Request, given: stacks.Given) -> stacks.Stack:
        name = request.params["StackName"]
        if any(s.name == name and s.status != "DELETE_COMPLETE" for s in self._stacks.values()):
            raise errors.ApiError("AlreadyExistsException", f"Stack [{name}] already exists")
        number = self._ids.number("stack")
        stack_id = (
            f"arn:aws:cloudformation:{self._region}:{requests.ACCOUNT_ID}:stack/{name}/"
            f"00000000-0000-4000-8000-{number:012d}"
        )
        principal = request.principal
        if "RoleARN" in request.params:
            role = request.params["RoleARN"].rpartition("/")[2]
            principal = self._directory.of(self._directory.assume(role, "AWSCloudFormation").key, "cloudformation")
        stack = stacks.Stack(name, stack_id, self._clock, given, principal)
        stack.role = request.params.get("RoleARN", "")
        stack.capabilities = request.params.get("Capabilities", [])
        self._stacks[stack_id] = stack
        return stack

    @requests.handles("cloudformation:UpdateStack")
    def update_stack(self, request: requests.Request) -> dict[str, Any]:
        """Begin an update; "No updates are to be performed" when there is nothing to do."""
        stack = self._updatable(request.params["StackName"])
        given = self._given(request, stack.given)
        if self._engine.nothing_to_do(stack, given):
            raise template.invalid("No updates are to be performed.")
        self._update(stack, given)
        return {"StackId": stack.id}

    def _updatable(self, name: str) -> stacks.Stack:
        stack = self._find(name)
        if not stack.status.endswith("COMPLETE") or stack.status == "ROLLBACK_COMPLETE":
            raise template.invalid(f"Stack:{stack.id} is in {stack.status} state and can not be updated.")
        return stack

    def _update(self, stack: stacks.Stack, given: stacks.Given) -> None:
        lost = {o.get("ExportName") for o in stack.outputs} - {
            o.get("ExportName") for o in self._engine.outputs(stack, given, stacks.Planned(stack))
        }
        for export in lost - {None}:
            users = self._importers(str(export))
            if users:
                raise template.invalid(f"Export {export} cannot be deleted as it is in use by {', '.join(users)}")
        stack.updated = self._clock.now()
        stack.tell("UPDATE_IN_PROGRESS", "User Initiated")
        self._work(lambda: self._engine.update(stack, given))

    @requests.handles("cloudformation:DeleteStack")
    def delete_stack(self, request: requests.Request) -> dict[str, Any]:
        """Begin a deletion; one of a stack that is not there succeeds, as on AWS."""
        try:
            stack = self._find(request.params["StackName"])
        except errors.ApiError:
            return {}
        if stack.protected:
            raise template.invalid(f"Stack [{stack.name}] cannot be deleted while TerminationProtection is enabled")
        if stack.status == "DELETE_IN_PROGRESS":
            return {}
        if stack.status.endswith("IN_PROGRESS"):
            raise template.invalid(f"Stack:{stack.id} is in {stack.status} state and can not be deleted.")
        retain = request.params.get("RetainResources", [])
        if retain and stack.status != "DELETE_FAILED":
            raise template.invalid("Invalid operation on stack: RetainResources is for stacks in DELETE_FAILED")
        for output in stack.outputs:
            users = self._importers(output["ExportName"]) if "ExportName" in output else []
            if users:
                stack.tell(
                    "DELETE_FAILED",
                    f"Export {output['ExportName']} cannot be deleted as it is in use by {', '.join(users)}",
                )
                return {}
        stack.tell("DELETE_IN_PROGRESS", "User Initiated")
        self._work(lambda: self._engine.delete(stack, retain=retain))
        return {}

    @requests.handles("cloudformation:UpdateTerminationProtection")
    def protect(self, request: requests.Request) -> dict[str, Any]:
        """Set or take termination protection."""
        stack = self._find(request.params["StackName"])
        stack.protected = request.params["EnableTerminationProtection"]
        return {"StackId": stack.id}

    # --- looking ------------------------------------------------------------------------------------------------

    @requests.handles("cloudformation:DescribeStacks")
    def describe_stacks(self, request: requests.Request) -> dict[str, Any]:
        """One stack by name or id, or every living one."""
        name = request.params.get("StackName")
        found = [self._find(name, deleted=True)] if name else [
            s for s in self._stacks.values() if s.status != "DELETE_COMPLETE"
        ]  # fmt: skip
        return {"Stacks": [describe.stack(stack) for stack in found]}

    @requests.handles("cloudformation:ListStacks")
    def list_stacks(self, request: requests.Request) -> dict[str, Any]:
        """Every stack, deleted ones too, by status where asked."""
        wanted = request.params.get("StackStatusFilter")
        found = [s for s in self._stacks.values() if not wanted or s.status in wanted]
        names = ("StackId", "StackName", "CreationTime", "LastUpdatedTime", "DeletionTime", "StackStatus",
                 "StackStatusReason")  # fmt: skip
        return {"StackSummaries": [{k: v for k, v in describe.stack(s).items() if k in names} for s in found]}

    @requests.handles("cloudformation:DescribeStackEvents")
    def describe_events(self, request: requests.Request) -> dict[str, Any]:
        """A stack's events, newest first."""
        events = self._find(request.params["StackName"], deleted=True).events[::-1]
        found, token = filters.page(events, request.params, most=100)
        return {"StackEvents": list(found), "NextToken": token}

    @requests.handles("cloudformation:DescribeStackResources")
    def describe_resources(self, request: requests.Request) -> dict[str, Any]:
        """A stack's resources."""
        stack = self._find(request.params["StackName"], deleted=True)
        wanted = request.params.get("LogicalResourceId")
        found = [describe.resource(r) for r in stack.resources.values() if wanted in (None, r.name)]
        named = {"StackName": stack.name, "StackId": stack.id}
        return {"StackResources": [{**named, **describe.at(one, "Timestamp")} for one in found]}

    @requests.handles("cloudformation:DescribeStackResource")
    def describe_resource(self, request: requests.Request) -> dict[str, Any]:
        """One resource of a stack."""
        stack = self._find(request.params["StackName"], deleted=True)
        name = request.params["LogicalResourceId"]
        if name not in stack.resources:
            raise template.invalid(f"Resource {name} does not exist for stack {stack.name}")
        detail = describe.at(describe.resource(stack.resources[name]), "LastUpdatedTimestamp")
        return {"StackResourceDetail": {"StackName": stack.name, "StackId": stack.id, **detail}}

    @requests.handles("cloudformation:ListStackResources")
    def list_resources(self, request: requests.Request) -> dict[str, Any]:
        """A stack's resources, in short."""
        stack = self._find(request.params["StackName"], deleted=True)
        return {
            "StackResourceSummaries": [
                describe.at(describe.resource(r), "LastUpdatedTimestamp") for r in stack.resources.values()
            ]
        }

    @requests.handles("cloudformation:GetTemplate")
    def get_template(self, request: requests.Request) -> dict[str, Any]:
        """The template's text as it was given."""
        stack = self._find(request.params["StackName"], deleted=True)
        return {"TemplateBody": stack.given.text, "StagesAvailable": ["Original", "Processed"]}

    @requests.handles("cloudformation:ValidateTemplate")
    def validate(self, request: requests.Request) -> dict[str, Any]:
        """Read a template; shows its parameters and the capability it needs."""
        given = request.params
        if "TemplateBody" in given and len(given["TemplateBody"].encode()) > template.BODY_LIMIT:
            raise template.invalid(f"templateBody must have length less than or equal to {template.BODY_LIMIT}")
        text = given["TemplateBody"] if "TemplateBody" in given else self._fetch(given["TemplateURL"], request)
        body = template.read(text)
        needed = template.capabilities(body)
        return {
            "Description": body.get("Description"),
            "Capabilities": [needed] if needed else [],
            "Parameters": [
                {"ParameterKey": name, "DefaultValue": str(p["Default"]) if "Default" in p else None, "NoEcho": False}
                for name, p in body.get("Parameters", {}).items()
            ],
        }

    @requests.handles("cloudformation:ListExports")
    def list_exports(self, request: requests.Request) -> dict[str, Any]:
        """Every export of the account."""
        return {
            "Exports": [
                {"ExportingStackId": stack.id, "Name": o["ExportName"], "Value": o["OutputValue"]}
                for stack in self._stacks.values()
                for o in stack.outputs
                if "ExportName" in o
            ]
        }

    @requests.handles("cloudformation:ListImports")
    def list_imports(self, request: requests.Request) -> dict[str, Any]:
        """The stacks that import an export."""
        users = self._importers(request.params["ExportName"])
        if not users:
            raise template.invalid(f"Export '{request.params['ExportName']}' is not imported by any stack.")
        return {"Imports": users}
