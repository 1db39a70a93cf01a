"""A cluster from outside: bring it up, look at it, take it down. What ``sfnodes`` and programs call.

with clusters.running("cluster.yaml") as cluster:      # tied: ends with this process, whatever ends it
    ... start workflows on cluster.up.domain, cluster.up.task_list ...
    print(cluster.status())
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import msgspec
import psutil

from simpleflow.core import documents, interpreter
from simpleflow.core import errors as core_errors
from simpleflow.data import files
from simpleflow.nodes import config, errors, paths, published, stores
from simpleflow.nodes.bundle import code as codes
from simpleflow.nodes.manager import decisions, report
from simpleflow.nodes.manager.report import NodeStatus
from simpleflow.nodes.providers.process import node_folder
from simpleflow.nodes.providers.process import provider as process_module
from simpleflow.process import lock_lifeline, signals, tree

from . import health, remembered, supervisor

#: seconds for the supervisor to say that manager and service run
UP_TIMEOUT = 30.0
#: ends of the service with a message of its own after which `up` waits no longer
_REFUSALS = 3
#: seconds in which what depends on a supervisor ends after it, at most
_SETTLING = 5.0


class Status(msgspec.Struct, frozen=True, kw_only=True):
    """A cluster now."""

    cluster: str
    provider: str
    up: bool
    #: pids of supervisor and manager, on this machine
    supervisor: int | None
    manager: int | None
    #: who holds the lease in control.json
    lease: str | None
    endpoint: str
    domain: str
    task_list: str
    nodes: tuple[NodeStatus, ...]
    #: launches and terminations under way
    intents: tuple[documents.Intent, ...]
    #: scheduled and foreseen tasks by task list
    demand: dict[str, dict[str, int]]
    failures: tuple[documents.Failures, ...]
    currency: str
    #: millionths, of the nodes shown
    cost: int
    #: what a person should know: why something that is wanted does not happen
    notes: tuple[str, ...]


class Cluster:
    """One cluster of this machine's user (provider process or ssh)."""

    def __init__(
        self,
        loaded: config.LoadedCluster,
        environment: Mapping[str, str] | None = None,
        notes: tuple[str, ...] = (),
    ) -> None:
        """``notes``: what a person should know of its file."""
        self.notes = notes
        self.loaded = loaded
        self.config = loaded.config
        self.environment = dict(os.environ if environment is None else environment)
        self.paths = paths.ClusterPaths(loaded.config, self.environment)
        self._tie: int | None = None
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def is_up(self) -> bool:
        """Whether its supervisor lives."""
        return lock_lifeline.held(self.paths.lifeline)

    @property
    def up(self) -> supervisor.Up:
        """What `up` started; raises UsageError when the cluster is not up."""
        try:
            if self.is_up:
                return msgspec.json.decode(self.paths.up.read_bytes(), type=supervisor.Up)
        except FileNotFoundError:
            pass
        raise core_errors.UsageError(f"cluster '{self.config.cluster}' is not up; `sfnodes up {self.loaded.path}`")

    def bring_up(self, *, tied: bool = False, directory: str | None = None, timeout: float = UP_TIMEOUT) -> None:
        """Start the supervisor, detached, and wait until the manager runs.

        With ``tied`` it ends, at once, when this process ends, whatever ends it. ``directory`` is where workers and
        deciders run (default: here). Raises UsageError when the cluster is up already, when it is going down, or when
        its file names what is not here (a folder, a provider); NodesError after ``timeout``.
        """
        self._refuse_while_going_down()
        if self.is_up:
            raise self._already_up()
        from simpleflow.nodes.manager import assemble  # the manager's half, which looking does not need

        assemble.factory_of(self.config)
        config.require_reach(self.loaded)
        if problem := health.too_long(self.paths):
            raise core_errors.UsageError(f"cluster '{self.config.cluster}': {problem}")
        self._publish(directory or os.getcwd())
        files.folder(self.paths.folder)
        files.folder(self.paths.logs)
        reader, writer = os.pipe() if tied else (None, None)
        command = interpreter.command("simpleflow.nodes.cluster.supervise", self.loaded.path)
        if reader is not None:
            command += ["--tie", str(reader)]
        log_path = self.paths.logs / "supervisor.log"
        self._tie = writer
        try:
            # A Ctrl-C while it is being started would leave a supervisor behind that nobody knows.
            with signals.held_back():
                self._process = self._start(command, directory, log_path, reader)
            self._wait_until_up(self._process, time.monotonic() + timeout, log_path)
        except BaseException:
            # Only our own supervisor is ended: of two that started at once the other one holds the cluster.
            if self._process is not None and self._process.poll() is None:
                self.take_down(hurry=True)
            self._forget_process()
            raise

    def _start(
        self, command: list[str], directory: str | None, log_path: Path, reader: int | None
    ) -> subprocess.Popen[bytes]:
        try:
            with files.log(log_path) as log:
                return subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    env=self.environment,
                    cwd=directory,
                    start_new_session=True,
                    pass_fds=() if reader is None else (reader,),
                )
        except OSError as error:
            raise errors.NodesError(
                f"the supervisor of cluster '{self.config.cluster}' cannot be started: {error}"
            ) from error
        finally:
            if reader is not None:
                os.close(reader)

    @property
    def started(self) -> bool:
        """Whether this object brought the cluster up and has not seen its end: another's is not ended."""
        return self._process is not None

    def _publish(self, directory: str) -> bool:
        from simpleflow.nodes.manager import assemble

        store = stores.open_store(self.paths.store)
        root = Path(self.loaded.path).parent
        code = published.code_of(self.config, root, Path(assemble.code_directory(self.loaded, directory)))
        return published.write(store, codes.resolved_file(self.config, root), code, time.time())

    def renew(self, directory: str | None = None) -> bool:
        """Have the living cluster work by the file and the code of now; False when it does already.

        Raises UsageError for a change that a living cluster cannot take over.
        """
        if self.paths.file.exists():
            # By the file of its beginning: a changed store would hide what was published.
            published.refuse_fixed(config.load(self.paths.file).config, self.config)
        found = published.read(stores.open_store(self.paths.store), self.config.cluster)
        if found is None:
            return False
        published.refuse_fixed(found.config, self.config)
        return self._publish(directory or os.getcwd())

    def _wait_until_up(self, process: subprocess.Popen[bytes], limit: float, log_path: Path) -> None:
        begun, service = time.time(), self.paths.logs / "service.log"
        before = service.stat().st_size if service.exists() else 0
        while time.monotonic() < limit and process.poll() is None:
            with contextlib.suppress(core_errors.UsageError):
                if self.up.pid == process.pid and self.up.manager is not None:
                    return
            if service.exists() and service.stat().st_size > before and _errors(service, before) >= _REFUSALS:
                break
            time.sleep(0.05)
        if process.poll() == supervisor.ALREADY_UP:
            raise self._already_up()
        if process.poll() is None:
            why = health.not_up(self.paths, begun)
            raise errors.NodesError(f"cluster '{self.config.cluster}' did not come up: {why}")
        raise errors.NodesError(
            f"cluster '{self.config.cluster}' did not come up; the end of {log_path}:\n{_tail(log_path)}"
        )

    def resume(self) -> bool:
        """Have launches that the breaker stopped tried again; False when the cluster is not up or none is stopped.

        Raises UsageError when the cluster is going down.
        """
        self._refuse_while_going_down()
        if not self.is_up or not self.status().failures:
            return False
        node_folder.write(self.paths.resume, b"")
        return True

    def _refuse_while_going_down(self) -> None:
        if self.is_up and self.paths.ending.exists():
            raise core_errors.UsageError(
                f"cluster '{self.config.cluster}' is going down and finishes its running tasks: "
                f"`sfnodes down {self.loaded.path}` waits for its end, then `sfnodes up {self.loaded.path}`"
            )

    def _already_up(self) -> core_errors.UsageError:
        return core_errors.UsageError(
            f"cluster '{self.config.cluster}' is already up (supervisor {self._pid() or 'starting'}); "
            f"`sfnodes status {self.loaded.path}` shows it, `sfnodes down {self.loaded.path}` ends it"
        )

    def _pid(self) -> int | None:
        """The supervisor's; None until it said so."""
        try:
            return msgspec.json.decode(self.paths.up.read_bytes(), type=supervisor.Up).pid
        except (OSError, msgspec.DecodeError):
            return None

    def _forget_process(self) -> None:
        if self._process is not None:
            self._process.wait()
            self._process = None
        if self._tie is not None:
            os.close(self._tie)
            self._tie = None

    def take_down(self, *, hurry: bool = False, timeout: float | None = None) -> bool:
        """Drain and end everything; True when it is gone. Only ``hurry`` does not wait for running tasks.

        It may be repeated, also by another process: that waits for the same end, and hurries nothing.

        Raises UsageError when the cluster is not up (without ``hurry``).
        """
        if not self.is_up and not hurry:
            raise core_errors.UsageError(f"cluster '{self.config.cluster}' is not up: there is nothing to take down")
        limit = None if timeout is None else time.monotonic() + timeout
        asked: psutil.Process | None = None

        def ends() -> bool:
            """It lets its lock go a moment before it is gone; one of our own may not hold it yet."""
            if self._process is not None:
                return self._process.poll() is None
            return self.is_up or (asked is not None and tree.lives(asked))

        while ends():
            pid = self._process.pid if self._process is not None else self._pid()
            if pid is not None and asked is None:
                with contextlib.suppress(psutil.NoSuchProcess):
                    asked = psutil.Process(pid)
                    asked.send_signal(signal.SIGINT if hurry else signal.SIGTERM)
            if limit is not None and time.monotonic() > limit:
                return False
            time.sleep(0.05)
        self._forget_process()
        settled = time.monotonic() + _SETTLING
        # What depends on the supervisor ends when that is gone, some moments later under load.
        while process_module.node_processes(str(self.paths.folder)) and time.monotonic() < settled:
            if limit is not None and time.monotonic() > limit:
                return False
            time.sleep(0.05)
        return True

    def purge(self) -> None:
        """Delete the documents, logs and provider state of a cluster that is down."""
        if self.is_up:
            raise core_errors.UsageError(f"cluster '{self.config.cluster}' is up; take it down first: `sfnodes down`")
        stores.purge(stores.open_store(self.paths.store), self.config.cluster)
        shutil.rmtree(self.paths.folder, ignore_errors=True)

    def processes(self) -> list[psutil.Process]:
        """Every living process of the cluster, the embedded service that it started included."""
        found = process_module.node_processes(str(self.paths.folder))
        with contextlib.suppress(core_errors.UsageError, psutil.Error):
            found.append(psutil.Process(self.up.pid))
        return found

    def logs(self, node: str | None = None, lines: int = 50) -> dict[str, str]:
        """The last lines of each log by name; of one node only when it is named. Raises UsageError for none such."""
        found = {} if node else {each.stem: each for each in sorted(self.paths.logs.glob("*.log"))}
        nodes = sorted((self.paths.folder / "nodes").glob("*/log"))
        found |= {each.parent.name: each for each in nodes if node is None or each.parent.name == node}
        if node is not None and not found:
            raise core_errors.UsageError(
                f"cluster '{self.config.cluster}' has no log of node '{node}'; "
                f"known: {', '.join(each.parent.name for each in nodes) or 'none'}"
            )
        return {name: _tail(path, lines) for name, path in found.items()}

    def why(self, subject: str) -> tuple[documents.Decision, ...]:
        """Return decisions on a machine, task list or profile, oldest first. Raises UsageError for unknown names."""
        store = stores.open_store(self.paths.store)
        found = published.read(store, self.config.cluster)
        return decisions.about(self.config if found is None else found.config, store, subject)

    def newest(self) -> tuple[documents.Decision, ...]:
        """Return the newest decisions, the oldest of them first."""
        return decisions.read(stores.open_store(self.paths.store), self.config.cluster)

    def _listed(self, node: str) -> str:
        """Return the state of a machine for the provider 'process'; with other providers always 'running'."""
        if self.config.provider != "process":
            return "running"
        folder = self.paths.folder / "nodes" / node
        return "running" if folder.exists() and node_folder.NodeFolder(folder).is_alive() else "terminated"

    def status(self, *, since: float | None = None) -> Status:
        """Look at the documents; ``since`` (epoch seconds) leaves out machines that ended before."""
        store = stores.open_store(self.paths.store)
        found = published.read(store, self.config.cluster)
        works_by = self.config if found is None else found.config
        shown = report.look(works_by, store, self._listed, since=since)
        root = Path(self.loaded.path).parent
        changed = published.not_taken_up(works_by, codes.resolved_file(self.config, root), self.loaded.path)
        up = None
        with contextlib.suppress(core_errors.UsageError):
            up = self.up
        return Status(
            cluster=self.config.cluster,
            provider=self.config.provider,
            up=up is not None,
            supervisor=None if up is None else up.pid,
            manager=None if up is None else up.manager,
            lease=shown.lease,
            endpoint=self.paths.endpoint,
            domain=self.config.swf_domain,
            task_list=self.config.decision_task_list,
            nodes=shown.nodes,
            intents=shown.intents,
            demand=shown.demand,
            failures=shown.failures,
            currency=shown.currency,
            cost=shown.cost,
            notes=(*self.notes, *health.notes(self.config, self.paths, up, shown.lease_age), *changed, *shown.notes),
        )


def load(path: str | Path, environment: Mapping[str, str] | None = None) -> Cluster:
    """Read a cluster file; raises ClusterFileError."""
    return Cluster(config.load(path), environment)


def find(given: str | Path, environment: Mapping[str, str] | None = None) -> Cluster:
    """The same, also for a cluster whose file is gone or broken, by its name or its file's path."""
    found = remembered.find(given, environment)
    return Cluster(found.loaded, environment, found.notes)


@contextlib.contextmanager
def running(path: str | Path, environment: Mapping[str, str] | None = None) -> Iterator[Cluster]:
    """A cluster that is up inside the block, tied to this process: drained at its end, at once on an exception."""
    cluster = load(path, environment)
    try:
        cluster.bring_up(tied=True)
        yield cluster
        cluster.take_down(timeout=120.0)
    except BaseException:  # one while it goes down too: what is left of it then goes at once
        if cluster.started:
            cluster.take_down(hurry=True, timeout=20.0)
        raise


def _errors(log: Path, begin: int) -> int:
    """Return how often a process ended with a message of its own since this place of its log."""
    with log.open("rb") as file:
        file.seek(begin)
        return sum(line.startswith(b"Error: ") for line in file)


def _tail(path: Path, lines: int = 20) -> str:
    try:
        return "\n".join(path.read_text(errors="replace").splitlines()[-lines:])
    except FileNotFoundError:
        return ""
