"""Two threads read one pipe, never both at once: the one that is idle, or another one while it is busy."""

from __future__ import annotations

import queue
import socket
import threading
from collections.abc import Iterator

import pytest

from simpleflow.runtime import frames, inlet, values

TASK = values.Task(activity_id="1", name="a", version="1", workflow_id="w", run_id="r", domain="d", task_list="tl")


class Ends:
    """Both ends of a pair: the worker's pipe, and the inlet of a runner whose main thread is the test's."""

    def __init__(self) -> None:
        ours, theirs = socket.socketpair()
        self.worker = frames.Pipe(ours)
        self.runner = frames.Pipe(theirs)
        self.seen: queue.SimpleQueue[object] = queue.SimpleQueue()
        self.lost: queue.SimpleQueue[frames.Closed] = queue.SimpleQueue()
        self.idle: queue.SimpleQueue[bool] = queue.SimpleQueue()
        self.inlet = inlet.Inlet(self.runner, take=self._take, lost=self.lost.put, idle=lambda: self.idle.put(True))

    def _take(self, frame: frames.Frame | None) -> inlet.Given | None:
        if isinstance(frame, frames.Run):
            return frame
        self.seen.put(frame)
        return None

    def run(self, number: int) -> None:
        self.worker.send(frames.Run(number=number, task=TASK))


@pytest.fixture
def ends() -> Iterator[Ends]:
    made = Ends()
    yield made
    made.worker.close()
    made.runner.close()


def test_one_task_after_another_comes_to_the_main_thread(ends: Ends) -> None:
    ends.inlet.start()
    for number in range(1, 200):
        ends.run(number)
        assert ends.inlet.next().number == number


def test_what_comes_while_a_task_runs_for_long_is_seen_and_the_next_task_waits(ends: Ends) -> None:
    ends.inlet.start()
    ends.run(1)
    assert ends.inlet.next().number == 1
    ends.worker.send(frames.Cancel(number=1))
    assert ends.seen.get(timeout=60) == frames.Cancel(number=1)
    ends.run(2)  # the second thread has it before the main thread asks
    ends.run(3)
    for number in (2, 3):
        assert ends.inlet.next().number == number


def test_what_a_task_waits_for_is_read_at_once(ends: Ends, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inlet, "TICK", 1e6)
    ends.inlet.start()
    ends.run(1)
    assert ends.inlet.next().number == 1
    ends.worker.send(frames.Cancel(number=1))
    ends.inlet.hurry()
    assert ends.seen.get(timeout=60) == frames.Cancel(number=1)


def test_after_a_rest_the_second_thread_looks_again(ends: Ends, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inlet, "REST", 1)
    ends.inlet.start()
    for number in (1, 2):
        ends.run(number)
        assert ends.inlet.next().number == number
        ends.worker.send(frames.Cancel(number=number))
        assert ends.seen.get(timeout=60) == frames.Cancel(number=number)


def test_the_end_of_the_worker_is_noticed_while_a_task_runs(ends: Ends) -> None:
    ends.inlet.start()
    ends.run(1)
    assert ends.inlet.next().number == 1
    ends.worker.close()
    assert isinstance(ends.lost.get(timeout=60), frames.Closed)


def test_the_end_of_the_worker_is_noticed_without_a_task(ends: Ends) -> None:
    def close() -> None:
        ends.idle.get()  # the main thread waits
        ends.worker.close()

    closer = threading.Thread(target=close)
    closer.start()
    ends.inlet.start()
    with pytest.raises(frames.Closed):
        ends.inlet.next()
    closer.join()
