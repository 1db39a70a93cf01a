"""Strict mode: ``run()`` is watched while it runs, and told what to write instead of what differs in a re-run.

A profile function sees each call; nothing is patched, and nobody else's code is watched.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Mapping
from types import FrameType
from typing import TYPE_CHECKING, Any

from simpleflow.core import errors

if TYPE_CHECKING:
    from . import strands

_ACTIVITY = "do it in an activity"
#: (module or type, name) of builtin callables -> what to write instead
_BUILTINS: Mapping[tuple[str, str], str] = {
    **{("time", name): "self.now()" for name in ("time", "time_ns", "localtime", "gmtime")},
    **{("time", name): "self.now()" for name in ("monotonic", "monotonic_ns", "perf_counter", "perf_counter_ns")},
    ("time", "sleep"): "a timer: self.submit(self.start_timer(id, seconds)).result",
    **{("datetime", name): "self.now()" for name in ("now", "utcnow", "today")},
    **{("date", name): "self.now()" for name in ("today",)},
    **{("Random", name): "self.random()" for name in ("random", "getrandbits", "seed")},
    ("posix", "urandom"): "self.uuid4() or self.random()",
    **{("_uuid", name): "self.uuid4()" for name in ("generate_time_safe",)},
    **{("_thread", name): "gather() of simpleflow.futures" for name in ("start_new_thread", "start_new")},
    ("_thread", "start_joinable_thread"): "gather() of simpleflow.futures",
    **{("_io", name): _ACTIVITY for name in ("open", "open_code", "FileIO")},
    **{("io", name): _ACTIVITY for name in ("open", "open_code")},
    **{
        ("posix", name): _ACTIVITY
        for name in ("open", "read", "write", "listdir", "scandir", "fork", "forkpty", "system")
    },
    **{("posix", name): _ACTIVITY for name in ("posix_spawn", "posix_spawnp", "mkdir", "remove", "unlink", "rename")},
    ("_posixsubprocess", "fork_exec"): _ACTIVITY,
    **{("socket", name): _ACTIVITY for name in ("connect", "connect_ex", "bind", "send", "sendall", "recv", "accept")},
    **{("_socket", name): _ACTIVITY for name in ("getaddrinfo", "gethostbyname", "gethostname")},
    **{("select", name): _ACTIVITY for name in ("select", "poll", "epoll")},
}
#: (module, function) of Python functions, which may never reach a builtin of the list
_FUNCTIONS: Mapping[tuple[str, str], str] = {
    **{("uuid", name): "self.uuid4()" for name in ("uuid1", "uuid4")},
    **{
        ("random", name): "self.random()" for name in ("randint", "randrange", "choice", "shuffle", "sample", "uniform")
    },
    ("threading", "start"): "gather() of simpleflow.futures",
    ("subprocess", "Popen"): _ACTIVITY,
    ("subprocess", "run"): _ACTIVITY,
    ("socket", "create_connection"): _ACTIVITY,
}
#: logging asks for the time of each record; what it writes decides nothing
_ELSEWHERE = frozenset({"importlib._bootstrap", "importlib._bootstrap_external", "linecache", "logging"})
_LOCKS = frozenset({"lock", "RLock"})


class Guard:
    """Watches the strands of one evaluation."""

    def __init__(self) -> None:
        #: while the engine, or a side effect, runs inside a strand
        self.suspended = 0
        self._held: dict[strands.Strand, list[Any]] = {}
        self._watched: strands.Strand | None = None

    def enter(self, strand: strands.Strand) -> None:
        """The strand's own code begins, or goes on."""
        self._watched = strand
        sys.setprofile(self._profile)

    def leave(self, strand: strands.Strand) -> None:
        """The strand blocks, or has ended."""
        sys.setprofile(None)
        self._watched = None

    def check_locks(self, strand: strands.Strand) -> None:
        """Raise when the strand is about to wait while it holds a lock."""
        sys.setprofile(None)
        if self._held.get(strand) or _seen_locked(sys._getframe(1)):
            raise errors.NotDeterministic(
                "run() holds a lock across a wait: the wait may last for months, and other executions share the "
                "process; release the lock before"
            )

    def _profile(self, frame: FrameType, event: str, argument: Any) -> None:
        if self.suspended:
            return
        if event == "c_call":
            owner = getattr(argument, "__self__", None)
            name = argument.__name__
            if owner is not None and type(owner).__name__ in _LOCKS:
                self._lock(owner, name)
                return
            where = _owner_name(argument, owner)
            instead = _BUILTINS.get((where, name))
            if instead is not None and not _not_the_program(frame):
                self._refuse(f"{where}.{name}()", instead)
        elif event == "call":
            code = frame.f_code
            module = frame.f_globals.get("__name__", "")
            instead = _FUNCTIONS.get((module, code.co_name))
            if instead is None and module == "subprocess" and code.co_name == "__init__":
                instead = _ACTIVITY
            if instead is not None and not _not_the_program(frame):
                self._refuse(f"{module}.{code.co_name}()", instead)

    def _lock(self, lock: Any, name: str) -> None:
        if self._watched is None:
            return
        held = self._held.setdefault(self._watched, [])
        if name in ("acquire", "__enter__", "acquire_lock"):
            held.append(lock)
        elif name in ("release", "__exit__", "release_lock"):
            for place in range(len(held) - 1, -1, -1):
                if held[place] is lock:
                    del held[place]
                    break

    def _refuse(self, what: str, instead: str) -> None:
        sys.setprofile(None)
        raise errors.NotDeterministic(
            f"run() called {what}, which differs in each re-run: use {instead} instead (strict mode; "
            "'strict = False' on the class lets it through)"
        )


def _seen_locked(frame: FrameType | None) -> bool:
    """Whether code on the stack names a lock that is held: a profile function sees nothing of ``with lock:``."""
    while frame is not None:
        if not frame.f_globals.get("__name__", "").startswith("simpleflow.engine"):
            named = [frame.f_globals.get(name) for name in frame.f_code.co_names]
            for value in [*frame.f_locals.values(), *named]:
                inside = list(vars(value).values()) if hasattr(value, "_executor") else []
                if any(_is_held(candidate) for candidate in (value, *inside)):
                    return True
        frame = frame.f_back
    return False


def _is_held(value: Any) -> bool:
    kind = type(value)
    if kind.__module__ not in ("_thread", "threading") or kind.__name__ not in _LOCKS:
        return False
    owned = getattr(value, "_is_owned", None)
    return bool(owned() if owned is not None else value.locked())


def _owner_name(function: Any, owner: Any) -> str:
    if owner is None or type(owner).__name__ == "module":
        return str(getattr(function, "__module__", None) or getattr(owner, "__name__", ""))
    if isinstance(owner, type):
        return next((base.__name__ for base in owner.__mro__ if function.__name__ in vars(base)), owner.__name__)
    return next(
        (base.__name__ for base in type(owner).__mro__ if function.__name__ in vars(base)), type(owner).__name__
    )


def _not_the_program(frame: FrameType | None) -> bool:
    """Whether somebody else asks from within: the import system, logging, the garbage collector, a finalizer.

    What a module does when it is first imported happens once per process.
    """
    callbacks = [getattr(callback, "__code__", None) for callback in gc.callbacks]
    while frame is not None:
        code = frame.f_code
        if frame.f_globals.get("__name__") in _ELSEWHERE or code.co_name == "__del__" or code in callbacks:
            return True
        frame = frame.f_back
    return False
