"""Deciders and workers as supervised child processes of the calling process, against one endpoint.

    with standalone.Group(place) as group:
        group.decider(task_list="decisions")
        group.worker(task_list="heavy", slots=2)
        ...

leaves no process behind, whatever ends the calling process. The child processes run this module:
``python -m simpleflow.runtime.standalone decider|worker JSON``.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Any, Literal, Self

import msgspec

from simpleflow import engine as engines
from simpleflow import log, settings, utils
from simpleflow.client import connect
from simpleflow.core import errors, interceptors, interpreter, text
from simpleflow.dispatch import limits
from simpleflow.process import Stop, Supervisor, lifeline, titles
from simpleflow.utils import mounting

from . import (
    agent_channel,
    beside,
    bounds,
    decider,
    execute,
    frames,
    lanes,
    needs,
    poller_identity,
    program_log,
    starting,
    stores,
    watchdog,
    worker,
)


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """Where deciders and workers poll; None: what settings and environment lead to."""

    domain: str | None = None
    endpoint_url: str | None = None
    backend: Literal["local", "embedded", "swf"] | None = None

    def connect(self, stop: Stop | None) -> connect.Connection | None:
        """Wait for the service; None when ``stop`` is raised before it answers."""

        def reach(wait: Callable[[float], bool]) -> connect.Connection:
            return connect.connect(
                domain=self.domain,
                endpoint_url=self.endpoint_url,
                backend=self.backend,
                patience=connect.SERVING,
                wait=wait,
            )

        return starting.unless_stopped(reach, stop)


class DeciderSpec(msgspec.Struct, frozen=True, kw_only=True):
    """One decider process."""

    place: Place = Place()
    task_list: str
    #: dotted names of the workflow classes that are loaded at start; others are loaded when a task names them
    workflows: tuple[str, ...] = ()
    #: prefixes of modules below which classes that a task names must be defined; none: all
    modules: tuple[str, ...] = ()
    #: send activities and child executions to this list, whatever list they name
    override_list: str | None = None
    sticky: bool = True
    #: seconds after which a ``run()`` that neither returns nor blocks ends the process; 0: never
    watchdog: float = 60.0
    #: threads that poll each list
    lanes: int = 2


class WorkerSpec(msgspec.Struct, frozen=True, kw_only=True):
    """One worker process."""

    place: Place = Place()
    task_list: str
    #: tasks at a time
    slots: int = 1
    #: longest seconds between two heartbeats of a task
    heartbeat: float = 60.0
    modules: tuple[str, ...] = ()
    pre: tuple[str, ...] = ()
    post: tuple[str, ...] = ()
    one_task: bool = False
    #: end when code that runs here changed on disk
    reload: bool = False
    #: MiB that the processes of one task may hold; None: no limit
    task_mib: int | None = None
    #: seconds between the starts of two task runners
    stagger: float = 0.05
    #: seconds that a drain waits for tasks that run, before it ends them; None: until they end
    drain: float | None = None
    #: tasks per second that this worker begins at most; None: as many as it can
    rate: float | None = None

    def setup(self, endpoint_url: str | None, domain: str) -> frames.Setup:
        """Return what the runners are told; ``endpoint_url`` is the service's, ``domain`` the one that is polled."""
        return frames.Setup(
            modules=self.modules,
            pre=self.pre,
            post=self.post,
            grace=float(settings.ACTIVITY_SIGTERM_WAIT_SEC),
            jumbo=stores.location(endpoint_url),
            reach=frames.Reach(endpoint_url=endpoint_url, domain=domain, task_list=self.task_list),
        )


def check_workflows(paths: Sequence[str]) -> list[Any]:
    """Import workflow classes by dotted name; raises UsageError naming the one that is wrong, and why."""
    return [_workflow(path) for path in paths]


def _workflow(path: str) -> Any:
    from simpleflow import workflow

    try:
        loaded = utils.import_from_module(path)
    except (Exception, SystemExit) as error:  # a script may end itself when it is imported
        raise errors.UsageError(
            f"workflow {path!r} cannot be imported ({type(error).__name__}: {error}): {_advice(error)}"
        ) from error
    if not utils.issubclass_(loaded, workflow.Workflow):
        raise errors.UsageError(
            f"workflow {path!r} is of type {type(loaded).__name__}, not a subclass of simpleflow.Workflow: name one"
        )
    if lacks := [name for name in ("name", "version") if getattr(loaded, name, None) in (None, "")]:
        example = {"name": loaded.__name__.lower(), "version": "1"}
        raise errors.UsageError(
            f"workflow {path!r} has no {' and no '.join(lacks)}, under which SWF would know it: write in the class "
            + ", ".join(f'{name} = "{example[name]}"' for name in lacks)
        )
    return loaded


def _advice(error: BaseException) -> str:
    """Say what to do about an import that failed: mend the module where it failed, or name another."""
    if isinstance(error, SyntaxError) and error.filename:
        return f"mend {error.filename}:{error.lineno}"
    ours = ("<frozen", __file__, importlib.__file__, utils.import_from_module.__code__.co_filename)
    theirs = [frame for frame in traceback.extract_tb(error.__traceback__) if not frame.filename.startswith(ours)]
    if theirs:
        return f"mend {theirs[-1].filename}:{theirs[-1].lineno}, or install what it imports"
    return "write package.module.ClassName, of a module in the current folder or on PYTHONPATH"


def check_worker(spec: WorkerSpec) -> None:
    """Import what a worker is asked to run; raises UsageError naming the module or middleware that is broken."""
    execute.Middleware(spec.pre, spec.post)
    check_modules(spec.modules)


def check_modules(modules: Sequence[str]) -> None:
    """Import the prefixes of ``--modules``; raises UsageError naming the one that is broken."""
    for name in modules:
        try:
            importlib.import_module(name)
        except Exception as error:
            if not _is_attribute(name):  # a prefix may name a class of a module as well
                raise _broken(name, error) from error


def _is_attribute(path: str) -> bool:
    try:
        utils.import_from_module(path)
    except Exception:
        return False
    return True


def _broken(name: str, error: BaseException) -> errors.UsageError:
    return errors.UsageError(
        f"--modules {name!r} cannot be imported ({type(error).__name__}: {error}): mend it, install it, "
        "or leave it out; no task was taken"
    )


def run_decider(
    spec: DeciderSpec, *, stop: Stop | None = None, mounted: Sequence[interceptors.DeciderInterceptor] = ()
) -> None:
    """Run one decider in this process and on this thread until ``stop`` says so."""
    check_modules(spec.modules)
    limit = limits.Limit(spec.modules)
    program_log.install()
    own = mounting.mounted()
    connection = spec.place.connect(stop)
    if connection is None:
        return
    store = stores.open_store(stores.location(connection.endpoint_url), patience=decider.PATIENCE)
    payloads = stores.payloads()
    local = beside.Beside(frames.Setup(jumbo=stores.location(connection.endpoint_url)))
    step = decider.Decider(
        connection.transport,
        engines.Engine(
            workflows=check_workflows(spec.workflows),
            payloads=payloads,
            offloads=store.offloads,
            loader=limit.workflow if limit else None,
            bounds=bounds.of_settings(),
        ),
        decider.Options(
            domain=connection.domain,
            task_list=spec.task_list,
            identity=poller_identity.make(),
            sticky_list=decider.sticky_name(spec.task_list) if spec.sticky else None,
            override_list=spec.override_list,
        ),
        resolver=needs.Resolver(
            connection.transport,
            domain=connection.domain,
            load=store.load,
            local=local.run,
        ),
        store=store,
        mounted=(*mounted, *own),
    )
    dog = watchdog.Watchdog(spec.watchdog) if spec.watchdog > 0 else None
    try:
        lanes.DeciderProcess(
            connection.transport, step, stop=stop, dog=dog, lanes=spec.lanes, end_local=local.close
        ).run()
    finally:
        local.close()


def cluster_interceptors() -> tuple[interceptors.DeciderInterceptor, ...]:
    """Return what a cluster mounts in its deciders; nothing when this process belongs to none."""
    if "SIMPLEFLOW_CLUSTER_SETUP" not in os.environ:
        return ()
    from simpleflow.nodes import connect as clusters

    return clusters.decider(os.environ)


def run_worker(
    spec: WorkerSpec,
    *,
    stop: Stop | None = None,
    poll_data: object | None = None,
    mounted: Sequence[interceptors.SlotInterceptor] = (),
) -> bool:
    """Run one worker in this process until ``stop`` says so; with ``poll_data`` only the task that it holds.

    Return whether it ended because its code changed on disk.
    """
    check_worker(spec)
    own = (*mounted, *mounting.mounted())
    connection = spec.place.connect(stop)
    if connection is None:
        return False
    made = worker.Worker(
        connection.transport,
        worker.Options(
            domain=connection.domain,
            task_list=spec.task_list,
            identity=poller_identity.make(),
            processes=spec.slots,
            heartbeat=spec.heartbeat,
            one_task=spec.one_task,
            reload=spec.reload,
            task_mib=spec.task_mib,
            stagger=spec.stagger,
            drain=spec.drain,
            rate=spec.rate,
            setup=spec.setup(connection.endpoint_url, connection.domain),
        ),
        stop=stop,
        mounted=own,
    )
    if poll_data is not None:
        made.work(poll_data)
        return False
    path = settings.SIMPLEFLOW_STATUS_SOCKET
    channel = agent_channel.Channel(path, made) if path else None
    if channel is not None:
        channel.start()
    try:
        made.run(linger=channel is not None)
    finally:
        if channel is not None:
            channel.close()
    return made.outdated and not made.stop.hurried


def command(spec: DeciderSpec | WorkerSpec) -> list[str]:
    """Return the command of a child process that runs this spec."""
    kind = "decider" if isinstance(spec, DeciderSpec) else "worker"
    return interpreter.command("simpleflow.runtime.standalone", kind, msgspec.json.encode(spec).decode())


class Group:
    """Supervised deciders and workers of the calling process; ``stop`` leaves nothing behind.

    A process that dies is started again with back-off. Their output is appended to the file ``log``; without it they
    share this process's stderr. A context manager.
    """

    def __init__(
        self, place: Place, *, log: str | os.PathLike[str] | None = None, env: Mapping[str, str] | None = None
    ):
        self._place = place
        self._log = None if log is None else os.fspath(log)
        self._env = {**os.environ, **(env or {})}
        self._supervisors: list[Supervisor] = []

    def decider(self, *, processes: int = 1, **options: Any) -> Supervisor:
        """Start decider processes; ``options`` are the fields of DeciderSpec but its place."""
        return self._supervise(DeciderSpec(place=self._place, **options), processes)

    def worker(self, *, processes: int = 1, **options: Any) -> Supervisor:
        """Start worker processes; ``options`` are the fields of WorkerSpec but its place."""
        return self._supervise(WorkerSpec(place=self._place, **options), processes)

    def _supervise(self, spec: DeciderSpec | WorkerSpec, processes: int) -> Supervisor:
        supervisor = Supervisor(
            command(spec),
            nb_children=processes,
            background=True,
            stagger=0.05,
            env=self._env,
            final=frozenset({64}),
            log=self._log,
        )
        supervisor.kind = "decider" if isinstance(spec, DeciderSpec) else "worker"
        supervisor.start()
        self._supervisors.append(supervisor)
        return supervisor

    @property
    def pids(self) -> list[int]:
        """Pids of the deciders and workers that live now (task runners not included)."""
        return [pid for supervisor in self._supervisors for pid in supervisor.pids]

    def check(self) -> None:
        """Raise SimpleflowError when some of them could not start, and will not be started again."""
        for supervisor in self._supervisors:
            if supervisor.join(0) and supervisor.status:
                where = f"in {self._log}" if self._log else "above"
                raise errors.SimpleflowError(f"no {supervisor.kind} can start here: its output is {where}")

    def status_text(self) -> str:
        """Say in one line which of them live, and which wait for their next start."""
        return "; ".join(supervisor.status_text() for supervisor in list(self._supervisors)) or "nothing runs"

    def stop(self, *, hurry: bool = False, timeout: float = 10.0) -> None:
        """Drain all of them at once, wait up to ``timeout`` seconds, end what is left with all it started."""
        for supervisor in self._supervisors:
            supervisor.hurry() if hurry else supervisor.drain()
        for supervisor in self._supervisors:
            supervisor.stop(hurry=hurry, timeout=timeout)
        self._supervisors.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop(hurry=kind is not None)


def main(argv: Sequence[str]) -> int:
    """Run one spec in this process: the supervisor's child."""
    kind, spec = argv
    titles.enabled = not settings.SIMPLEFLOW_DISABLE_SETPROCTITLE
    log.configure()
    with contextlib.suppress(OSError):  # stdout is the command's, for its result; stderr may be closed
        os.dup2(2, 1)
    stop = Stop()
    stop.install()
    lifeline.watch(lambda: stop.request(Stop.HURRY))
    try:
        if kind == "decider":
            run_decider(msgspec.json.decode(spec, type=DeciderSpec), stop=stop, mounted=cluster_interceptors())
        else:
            run_worker(msgspec.json.decode(spec, type=WorkerSpec), stop=stop)
    except errors.UsageError as error:
        sys.stderr.write(f"Error: {text.visible(str(error), lines=True)}\n")
        return 64
    except errors.SimpleflowError as error:  # the service is away, say: the supervisor starts this process again
        sys.stderr.write(f"Error: {text.visible(str(error), lines=True)}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.path.insert(0, os.getcwd())
    sys.exit(main(sys.argv[1:]))
