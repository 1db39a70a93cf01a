"""Launches, lists, marks and ends nodes over ssh. One node per machine; its state lies on the machine itself."""

from __future__ import annotations

import os
import shlex
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent import futures
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from simpleflow.core import documents, text
from simpleflow.data import files
from simpleflow.nodes import config, errors, tags
from simpleflow.nodes.providers import attempts, base
from simpleflow.nodes.providers.process import node_folder

#: machines that are asked at once
PARALLEL = 16


class Placed(msgspec.Struct, frozen=True, kw_only=True):
    """What this machine knows of a node: its host, folder and last state. It is written before the host is called."""

    id: str
    host: str
    profile: str
    attempt: str
    launched: float
    state: base.State = "pending"
    tags: dict[str, str] = {}


#: inside the class ``list`` is the provider's method
_Nodes = list[Placed]


class SshProvider:
    """A node is an agent on one of the profile's hosts (base.NodeProvider, base.AttemptLocks).

    ``tasks`` is provisioning/tasks.py; ``code`` returns the code bundle and its SHA-256, asked for at the first
    launch. A machine that cannot be reached keeps the state last seen; that it does not answer never makes its node
    'terminated'.
    """

    def __init__(
        self,
        cluster: str,
        folder: str,
        setups: Mapping[str, documents.NodeSetup],
        profiles: Mapping[str, config.Profile],
        *,
        tasks: Any,
        code: Callable[[], tuple[bytes, str]],
    ) -> None:
        self._cluster = cluster
        self._setups = setups
        self._profiles = profiles
        self._tasks = tasks
        self._code = code
        self._built: tuple[bytes, str] | None = None
        self._placed = Path(folder) / "ssh-nodes"
        self._attempts = attempts.Attempts(Path(folder) / "attempts")
        self._placing = Path(folder) / "ssh-placing.lock"
        files.folder(self._placed)

    # --- launch -------------------------------------------------------------------------------------------------------

    def launch(self, spec: base.LaunchSpec) -> base.Launched:
        """Start agents on free hosts of the profile; hosts that refuse or cannot be reached are passed over."""
        if spec.profile not in self._setups or spec.profile not in self._profiles:
            known = ", ".join(sorted(self._profiles))
            raise errors.ProviderRefused(f"profile '{spec.profile}' is unknown to this provider; known: {known}")
        with self._attempts.launching(spec.attempt), files.locked(self._placing):
            placed = self._all()
            already = tuple(_instance(each) for each in placed if each.attempt == spec.attempt)
            if already:
                return base.Launched(instances=already)
            if time.time() > spec.not_after:
                raise errors.ProviderRefused(f"attempt {spec.attempt} came after its last moment; nothing was launched")
            return self._place(spec, {each.host for each in self._refresh(placed) if each.state != "terminated"})

    def _place(self, spec: base.LaunchSpec, taken: set[str]) -> base.Launched:
        hosts = self._profiles[spec.profile].hosts
        free = [host for host in hosts if host not in taken]
        launched: list[base.Instance] = []
        refusals: list[str] = []
        for host in free:
            if len(launched) == spec.units:
                break
            try:
                launched.append(self._start(spec, len(launched) + 1, host))
            except errors.ProviderRefused as refusal:
                refusals.append(str(refusal))
        if len(launched) < spec.units:
            refusals.append(
                f"profile '{spec.profile}' has {text.count(len(hosts), 'host')}, {len(free)} of them free: "
                f"{spec.units - len(launched)} of {spec.units} nodes found no place"
            )
        if not launched:
            raise errors.ProviderRefused("; ".join(refusals))
        return base.Launched(instances=tuple(launched), refusals=tuple(refusals))

    def _start(self, spec: base.LaunchSpec, number: int, host: str) -> base.Instance:
        if self._built is None:
            self._built = self._code()
        code, digest = self._built
        all_tags = {
            **spec.tags,
            tags.CLUSTER: spec.cluster,
            tags.PROFILE: spec.profile,
            tags.ATTEMPT: spec.attempt,
        }
        placed = Placed(
            id=f"{spec.attempt}-{number}",
            host=host,
            profile=spec.profile,
            attempt=spec.attempt,
            launched=time.time(),
            tags=all_tags,
        )
        setup = self._setups[spec.profile]
        with self._session(spec.profile, host) as (connection, root):
            # Provisioning starts nothing: when it fails, no node exists.
            try:
                python = self._tasks.provision(connection, root, code=code, code_sha256=digest)
            except Exception as problem:
                raise errors.ProviderRefused(f"{host} could not be provisioned: {problem}") from problem
            self._write(placed)
            shown = self._tasks.start(
                connection,
                root,
                python=python,
                record={"id": placed.id, "attempt": spec.attempt, "profile": spec.profile, "cluster": self._cluster},
                tags=all_tags,
                setup=msgspec.to_builtins(setup),
                environment=setup.environment,
            )
        started = msgspec.structs.replace(placed, state=shown["state"])
        self._write(started)
        return _instance(started)

    def attempt_over(self, attempt: str) -> bool:
        """Give the attempt up for ever; False while its launch goes on."""
        return self._attempts.give_up(attempt)

    # --- what there is ------------------------------------------------------------------------------------------------

    def list(self) -> base.Listing:
        """List every node that was ever placed, with the state that its machine shows, or showed last."""
        begun = time.time()
        return base.Listing(instances=tuple(_instance(each) for each in self._refresh(self._all())), begun=begun)

    def _all(self) -> _Nodes:
        paths = sorted(self._placed.glob("*.json"))
        return [msgspec.json.decode(path.read_bytes(), type=Placed) for path in paths]

    def _refresh(self, placed: _Nodes) -> _Nodes:
        """Ask the machines of all nodes that are not known to be gone, several at a time."""
        asked = sorted({(each.profile, each.host) for each in placed if each.state != "terminated"})
        if not asked:
            return placed
        try:
            with futures.ThreadPoolExecutor(min(len(asked), PARALLEL)) as pool:
                seen = dict(zip(asked, pool.map(lambda where: self._look(*where), asked), strict=True))
        except RuntimeError as problem:  # no thread to be had
            raise errors.ProviderUnclear(f"the machines cannot be asked now: {problem}") from problem
        return [self._updated(each, seen.get((each.profile, each.host))) for each in placed]

    def _look(self, profile: str, host: str) -> dict[str, dict[str, Any]] | None:
        try:
            with self._session(profile, host) as (connection, root):
                return {str(each["id"]): each for each in self._tasks.listed(connection, root)}
        except errors.NodesError:
            return None

    def _updated(self, placed: Placed, seen: Mapping[str, Mapping[str, Any]] | None) -> Placed:
        if seen is None or placed.state == "terminated":
            return placed
        shown = seen.get(placed.id)
        if shown is None:
            # Its folder is not there: it may still come while its launch goes on.
            over = not self._attempts.is_launching(placed.attempt)
            found = msgspec.structs.replace(placed, state="terminated" if over else placed.state)
        else:
            found = msgspec.structs.replace(placed, state=shown["state"], tags=dict(shown["tags"]))
        if found != placed:
            self._write(found)
        return found

    # --- one node -----------------------------------------------------------------------------------------------------

    def mark(self, instance_id: str, generation: int) -> None:
        """Set the drain mark of this generation."""
        self._tag("tag", instance_id, generation)

    def unmark(self, instance_id: str, generation: int) -> None:
        """Remove it; an absent one is not an error."""
        self._tag("untag", instance_id, generation)

    def _tag(self, what: str, instance_id: str, generation: int) -> None:
        placed = self._find(instance_id)
        there = False
        if placed is not None:
            with self._session(placed.profile, placed.host) as (connection, root):
                there = getattr(self._tasks, what)(connection, root, instance_id, tags.drain(generation))
        if not there:
            raise errors.ProviderRefused(f"node '{instance_id}' does not exist; `sfnodes status` lists those that do")

    def terminate(self, instance_id: str) -> bool:
        """End the node's processes; one that is gone is not an error."""
        placed = self._find(instance_id)
        if placed is not None and placed.state != "terminated":
            with self._session(placed.profile, placed.host) as (connection, root):
                self._tasks.terminate(connection, root, instance_id)
        return False

    def diagnose(self, instance_id: str) -> str:
        """The last 50 lines of its log."""
        placed = self._find(instance_id)
        if placed is None:
            return ""
        with self._session(placed.profile, placed.host) as (connection, root):
            return str(self._tasks.log(connection, root, instance_id))

    def session(self, instance_id: str, command: Sequence[str]) -> base.Session:
        """ssh to the node's machine, with the host key that is pinned (base.Sessions)."""
        placed = self._find(instance_id)
        if placed is None or placed.state == "terminated":
            raise errors.ProviderRefused(f"node '{instance_id}' does not live; `sfnodes status` lists those that do")
        given = self._profiles[placed.profile].ssh
        words = ["ssh", "-p", str(given.port), "-o", "StrictHostKeyChecking=yes"]
        if given.key:
            words += ["-o", "IdentitiesOnly=yes", "-i", os.path.expanduser(given.key)]
        if given.known_hosts:
            words += ["-o", f"UserKnownHostsFile={os.path.expanduser(given.known_hosts)}"]
        words += [] if command else ["-t"]
        remote = [f"SIMPLEFLOW_NODE_ID={shlex.quote(instance_id)}", shlex.join(command)] if command else []
        return base.Session(command=(*words, f"{given.user}@{placed.host}", *([" ".join(remote)] if remote else [])))

    # --- the rest -----------------------------------------------------------------------------------------------------

    @contextmanager
    def _session(self, profile: str, host: str) -> Iterator[tuple[Any, str]]:
        """Open a session and find the folder; errors of ssh become the provider's."""
        given = self._profiles[profile].ssh
        machine = self._tasks.Machine(
            host=host,
            user=given.user,
            port=given.port,
            key=given.key,
            known_hosts=given.known_hosts,
            root=f".simpleflow/{self._cluster}",
        )
        try:
            with self._tasks.session(machine) as connection:
                yield connection, self._tasks.root_of(connection, machine)
        except (self._tasks.HostKeyRefused, self._tasks.NotReached) as problem:
            raise errors.ProviderRefused(str(problem)) from problem
        except self._tasks.Interrupted as problem:
            raise errors.ProviderUnclear(str(problem)) from problem
        except (self._tasks.errors.ProvisioningError, RuntimeError) as problem:
            # RuntimeError: no thread to be had, of which a connection needs one.
            raise errors.ProviderUnclear(f"{host}: {problem}") from problem

    def _find(self, instance_id: str) -> Placed | None:
        path = self._placed / f"{instance_id}.json"
        return msgspec.json.decode(path.read_bytes(), type=Placed) if path.exists() else None

    def _write(self, placed: Placed) -> None:
        node_folder.write(self._placed / f"{placed.id}.json", msgspec.json.encode(placed))


def _instance(placed: Placed) -> base.Instance:
    return base.Instance(
        id=placed.id,
        state=placed.state,
        profile=placed.profile,
        attempt=placed.attempt,
        launched=placed.launched,
        instance_type="ssh",
        zone=placed.host,
        tags=placed.tags,
    )
