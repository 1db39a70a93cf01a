"""What ends a process that still reaches for its service: a signal, or its parent's death."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from simpleflow.process import Stop, lifeline
from simpleflow.runtime import standalone, starting

#: seconds that an end may take; the attempts alone have none
WIDE = 60.0


@pytest.fixture
def silent(tmp_path: Path) -> Iterator[socket.socket]:
    """A service that takes connections and answers none."""
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "s"))
        listening.listen()
        listening.settimeout(WIDE)
        yield listening


@pytest.mark.needs_processes
@pytest.mark.parametrize("how", ["SIGTERM", "the parent's death"])
@pytest.mark.parametrize("kind", ["decider", "worker", "worker.start"])
def test_a_process_that_waits_for_its_service_ends_at_once(silent: socket.socket, kind: str, how: str) -> None:
    url = f"unix://{silent.getsockname()}"
    command = ["simpleflow.cli.main", "--endpoint-url", url, "worker.start", "-t", "t", "-N", "1"]
    if kind != "worker.start":
        made: standalone.DeciderSpec | standalone.WorkerSpec = (
            standalone.DeciderSpec(place=standalone.Place(endpoint_url=url), task_list="t")
            if kind == "decider"
            else standalone.WorkerSpec(place=standalone.Place(endpoint_url=url), task_list="t")
        )
        command = ["simpleflow.runtime.standalone", kind, msgspec.json.encode(made).decode()]
    reader, writer = os.pipe()
    child = subprocess.Popen(
        [sys.executable, "-m", *command],
        env={**os.environ, lifeline.VARIABLE: str(reader)},
        pass_fds=(reader,),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    os.close(reader)
    try:
        connection, _ = silent.accept()
        with connection:
            if how == "SIGTERM":
                child.send_signal(signal.SIGTERM)
            else:
                os.close(writer)
            assert child.communicate(timeout=WIDE)[1].decode().count("Traceback") == 0
        assert child.returncode == 0
    finally:
        if how == "SIGTERM":
            os.close(writer)
        child.kill()
        child.wait()


def test_attempts_end_with_the_stop_and_their_failure_is_nobodys() -> None:
    stop = Stop()

    def reach(wait: Callable[[float], bool]) -> str:
        stop.request()
        assert wait(WIDE)
        raise OSError("nobody answers")

    assert starting.unless_stopped(reach, stop) is None
    assert starting.unless_stopped(lambda wait: "reached", stop) is None


def test_what_reaches_is_returned_and_what_fails_is_raised() -> None:
    def fail(wait: Callable[[float], bool]) -> str:
        raise OSError("nobody answers")

    for stop in (Stop(), None):
        assert starting.unless_stopped(lambda wait: "reached", stop) == "reached"
        with pytest.raises(OSError, match="nobody answers"):
            starting.unless_stopped(fail, stop)
