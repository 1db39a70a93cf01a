"""Launches, lists, marks and ends local nodes. All state is on disk: managers and the metadata server read it."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec
import psutil

from simpleflow.core import documents, interpreter
from simpleflow.data import files
from simpleflow.nodes import errors, tags
from simpleflow.nodes.providers import attempts, base
from simpleflow.process import tree

from . import node_folder

#: seconds between TERM and KILL of a node that is terminated
KILL_AFTER = 0.5
LOG_LINES = 50


class ProcessProvider:
    """A node is a process group of this machine (base.NodeProvider, base.AttemptLocks)."""

    def __init__(self, cluster: str, folder: str, setups: Mapping[str, documents.NodeSetup]) -> None:
        self._cluster = cluster
        self._folder = Path(folder)
        self._setups = setups
        self._nodes = self._folder / "nodes"
        self._attempts = attempts.Attempts(self._folder / "attempts")
        #: processes that this provider started and has to wait for
        self._begun: list[subprocess.Popen[bytes]] = []

    def launch(self, spec: base.LaunchSpec) -> base.Launched:
        """Launch one attempt. A file lock is held during the call: it tells other managers that the launch goes on."""
        if spec.profile not in self._setups:
            raise errors.ProviderRefused(
                f"profile '{spec.profile}' is unknown to this provider; known: {', '.join(sorted(self._setups))}"
            )
        endpoint = self._metadata_endpoint()
        with self._attempts.launching(spec.attempt):
            already = tuple(each for each in self.list().instances if each.attempt == spec.attempt)
            if already:
                return base.Launched(instances=already)
            if time.time() > spec.not_after:
                raise errors.ProviderRefused(f"attempt {spec.attempt} came after its last moment; nothing was launched")
            return self._start_all(spec, endpoint)

    def _start_all(self, spec: base.LaunchSpec, endpoint: str) -> base.Launched:
        """Start node after node. When the system refuses one (memory, processes, files), its folder is removed."""
        started: list[base.Instance] = []
        for number in range(1, spec.units + 1):
            try:
                started.append(self._start(spec, number, endpoint))
            except OSError as error:
                refusal = f"{spec.units - len(started)} of {spec.units} nodes were not started: {error}"
                shutil.rmtree(self._nodes / f"{spec.attempt}-{number}", ignore_errors=True)
                if not started:
                    raise errors.ProviderRefused(refusal) from error
                return base.Launched(instances=tuple(started), refusals=(refusal,))
        return base.Launched(instances=tuple(started))

    def _start(self, spec: base.LaunchSpec, number: int, endpoint: str) -> base.Instance:
        node_id = f"{spec.attempt}-{number}"
        folder = node_folder.NodeFolder(self._nodes / node_id)
        record = node_folder.Record(
            id=node_id,
            attempt=spec.attempt,
            profile=spec.profile,
            launched=time.time(),
            instance_type="process",
            tags={
                **spec.tags,
                tags.CLUSTER: spec.cluster,
                tags.PROFILE: spec.profile,
                tags.ATTEMPT: spec.attempt,
            },
        )
        folder.create(record)
        setup = self._setups[spec.profile]
        node_folder.write(folder.setup, msgspec.json.encode(setup))
        environment = {
            **os.environ,
            **setup.environment,
            "AWS_EC2_METADATA_SERVICE_ENDPOINT": f"{endpoint}/{node_id}/",
            "SIMPLEFLOW_NODE_ID": node_id,
            "SIMPLEFLOW_CLUSTER_FOLDER": str(self._folder),
        }
        with files.locked(folder.alive) as alive, files.log(folder.log) as log:
            child = subprocess.Popen(
                interpreter.command("simpleflow.nodes.agent.__main__", "--setup", str(folder.setup)),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=environment,
                start_new_session=True,
                pass_fds=(alive,),
            )
        self._begun.append(child)
        folder.set_pid(child.pid)
        return self._instance(record, "running")

    @staticmethod
    def _instance(
        record: node_folder.Record, state: base.State, all_tags: Mapping[str, str] | None = None
    ) -> base.Instance:
        return base.Instance(
            id=record.id,
            state=state,
            profile=record.profile,
            attempt=record.attempt,
            launched=record.launched,
            instance_type=record.instance_type,
            tags=record.tags if all_tags is None else all_tags,
        )

    def list(self) -> base.Listing:
        """List every node, ended ones too: their folders stay until ``forget``."""
        begun = time.time()
        self._begun = [child for child in self._begun if child.poll() is None]
        found = []
        for path in sorted(self._nodes.iterdir()) if self._nodes.exists() else ():
            folder = node_folder.NodeFolder(path)
            record = folder.record()
            if record is not None:
                found.append(self._instance(record, self._state(folder, record), folder.all_tags()))
        return base.Listing(instances=tuple(found), begun=begun)

    def _state(self, folder: node_folder.NodeFolder, record: node_folder.Record) -> base.State:
        if folder.is_alive():
            return "stopping" if folder.ending else "running"
        if folder.pid is None and self._attempts.is_launching(record.attempt):
            return "pending"
        return "terminated"

    def attempt_over(self, attempt: str) -> bool:
        """Give the attempt up for ever; False while its launch goes on."""
        return self._attempts.give_up(attempt)

    def mark(self, instance_id: str, generation: int) -> None:
        """Set the drain mark of this generation."""
        self._folder_of(instance_id).set_tag(tags.drain(generation), "1")

    def unmark(self, instance_id: str, generation: int) -> None:
        """Remove it; an absent one is not an error."""
        self._folder_of(instance_id).remove_tag(tags.drain(generation))

    def terminate(self, instance_id: str) -> bool:
        """End the node's processes; one that is gone is not an error."""
        path = self._nodes / instance_id
        if not path.exists():
            return False
        folder = node_folder.NodeFolder(path)
        folder.set_ending()
        end_processes(node_processes(str(self._folder), instance_id), KILL_AFTER)
        self._begun = [child for child in self._begun if child.poll() is None]
        return False

    def diagnose(self, instance_id: str) -> str:
        """The last 50 lines of its log."""
        try:
            lines = (self._nodes / instance_id / "log").read_text(errors="replace").splitlines()
        except FileNotFoundError:
            return ""
        return "\n".join(lines[-LOG_LINES:])

    def session(self, instance_id: str, command: Sequence[str]) -> base.Session:
        """Run it as the node's workers run: their environment, their folder; it ends with the node (base.Sessions)."""
        folder = self._folder_of(instance_id)
        if not folder.is_alive():
            raise errors.ProviderRefused(f"node '{instance_id}' has ended; `sfnodes status` lists those that live")
        setup = msgspec.json.decode(folder.setup.read_bytes(), type=documents.NodeSetup)
        shell = (os.environ.get("SHELL") or "/bin/sh",)
        return base.Session(
            command=tuple(command) or shell,
            environment={
                **setup.environment,
                "SIMPLEFLOW_NODE_ID": instance_id,
                "SIMPLEFLOW_CLUSTER_FOLDER": str(self._folder),
                "AWS_EC2_METADATA_SERVICE_ENDPOINT": f"{self._metadata_endpoint()}/{instance_id}/",
            },
            directory=setup.directory or str(folder.path),
        )

    def _folder_of(self, instance_id: str) -> node_folder.NodeFolder:
        path = self._nodes / instance_id
        if not path.exists():
            raise errors.ProviderRefused(f"node '{instance_id}' does not exist; `sfnodes status` lists those that do")
        return node_folder.NodeFolder(path)

    def _metadata_endpoint(self) -> str:
        try:
            return (self._folder / "metadata.url").read_text().strip()
        except FileNotFoundError:
            raise errors.ProviderRefused(
                f"no metadata endpoint is written in {self._folder}/metadata.url; is the supervisor of cluster "
                f"'{self._cluster}' alive? `sfnodes up` starts it"
            ) from None


def node_processes(folder: str, node_id: str | None = None) -> list[psutil.Process]:
    """Return the living processes whose environment names this cluster folder (and this node), without the caller."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.pid == os.getpid() or not tree.lives(process):
                continue
            environment = process.environ()
        except (psutil.Error, OSError):
            continue
        if environment.get("SIMPLEFLOW_CLUSTER_FOLDER") == folder and (
            node_id is None or environment.get("SIMPLEFLOW_NODE_ID") == node_id
        ):
            found.append(process)
    return found


def end_processes(processes: list[psutil.Process], patience: float) -> None:
    """Send TERM, and KILL after this number of seconds. psutil checks that a pid is still the same process."""
    for process in processes:
        _signal(process, signal.SIGTERM)
    _, alive = psutil.wait_procs(processes, timeout=patience)
    for process in alive:
        _signal(process, signal.SIGKILL)
    psutil.wait_procs(alive, timeout=patience)


def _signal(process: psutil.Process, number: signal.Signals) -> None:
    try:
        process.send_signal(number)
    except psutil.Error:
        return
