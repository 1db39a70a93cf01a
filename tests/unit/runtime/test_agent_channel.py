from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from simpleflow.core import clock, documents
from simpleflow.runtime import agent_channel


class FakeWorker:
    """What a channel reads of a worker."""

    task_list = "heavy"

    def __init__(self) -> None:
        self.changed = threading.Event()
        self.polling = True
        self.running: tuple[documents.RunningTask, ...] = ()
        self.finished: tuple[documents.Finished, ...] = ()
        self.acknowledged = False
        self.interrupted = threading.Event()

    def stop_polling(self) -> None:
        self.polling = False
        self.acknowledged = True
        self.changed.set()

    def interrupt(self) -> None:
        self.interrupted.set()


@pytest.fixture
def listener(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "agent.sock"))
        listening.listen()
        listening.settimeout(20)
        yield listening


@pytest.fixture
def worker(listener: socket.socket) -> Iterator[FakeWorker]:
    fake = FakeWorker()
    channel = agent_channel.Channel(listener.getsockname(), fake, time=clock.VirtualClock(1000.0))  # type: ignore[arg-type]
    channel.start()
    yield fake
    channel.close()


def lines(connection: socket.socket) -> Iterator[dict[str, Any]]:
    connection.settimeout(20)
    with connection.makefile("rb") as stream:
        for text in stream:
            yield json.loads(text)


def test_status_is_sent_on_change_and_orders_are_obeyed(listener: socket.socket, worker: FakeWorker) -> None:
    connection, _ = listener.accept()
    with connection:
        said = lines(connection)
        first = next(said)
        assert set(first) == {"pid", "task_list", "polling", "running", "stopping", "acknowledged", "finished"}
        assert (first["task_list"], first["polling"], first["stopping"]) == ("heavy", True, False)
        worker.running = (documents.RunningTask(id="run/a-1", started=1.0, start_to_close=300, activity="a"),)
        worker.changed.set()
        changed = next(line for line in said if line["running"])
        assert changed["running"] == [{"id": "run/a-1", "started": 1.0, "start_to_close": 300, "activity": "a"}]
        connection.sendall(b'not json\n{"stop_polling":true,"deadline":null}\n')
        stopped = next(line for line in said if line["acknowledged"])
        assert (stopped["polling"], stopped["stopping"]) == (False, True)
        assert not worker.interrupted.is_set()


def test_a_deadline_ends_what_still_runs_shortly_before(listener: socket.socket, worker: FakeWorker) -> None:
    connection, _ = listener.accept()
    with connection:
        connection.sendall(b'{"stop_polling":true,"deadline":1001.0}\n')
        assert worker.interrupted.wait(20)


def test_with_little_left_a_task_gets_half_of_it(listener: socket.socket, worker: FakeWorker) -> None:
    connection, _ = listener.accept()
    with connection:
        connection.sendall(b'{"stop_polling":true,"deadline":1003.0}\n')
        begun = time.monotonic()
        assert worker.interrupted.wait(20)
        assert time.monotonic() - begun > 1.0


def test_a_lost_connection_is_opened_again(listener: socket.socket, worker: FakeWorker) -> None:
    connection, _ = listener.accept()
    next(lines(connection))
    connection.close()
    again, _ = listener.accept()
    with again:
        assert next(lines(again))["task_list"] == "heavy"
