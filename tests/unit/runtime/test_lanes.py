from __future__ import annotations

import threading

import pytest

from simpleflow.core import clock
from simpleflow.runtime import lanes, watchdog


def test_the_engine_thread_runs_in_order_and_hands_back_errors() -> None:
    engine = lanes.EngineThread()
    seen: list[int] = []
    done = threading.Event()

    def other() -> None:
        assert engine.call(lambda: seen.append(threading.get_ident())) is None
        with pytest.raises(ValueError, match="from the engine"):
            engine.call(_raise)
        done.set()
        engine.wake()

    def _raise() -> None:
        raise ValueError("from the engine")

    thread = threading.Thread(target=other)
    thread.start()
    engine.run(done.is_set)
    thread.join()
    assert seen == [threading.get_ident()]


def test_what_is_put_off_runs_before_what_is_asked_later_and_at_the_end(caplog: pytest.LogCaptureFixture) -> None:
    engine = lanes.EngineThread()
    order: list[str] = []
    done = threading.Event()

    def other() -> None:
        engine.put_off(lambda: order.append("put off"))
        engine.put_off(lambda: 1 // 0)
        engine.call(lambda: order.append("asked"))
        engine.post(lambda: order.append("posted"))
        done.set()
        engine.wake()

    thread = threading.Thread(target=other)
    thread.start()
    engine.run(done.is_set)
    thread.join()
    assert order == ["put off", "asked", "posted"]
    assert "ZeroDivisionError" in caplog.text


def test_a_run_is_decided_by_one_lane_at_a_time() -> None:
    in_flight = lanes.InFlight()
    assert in_flight.take("run", "first")
    assert in_flight.take("another run", "its first")
    assert not in_flight.take("run", "second")
    assert not in_flight.take("run", "third")
    assert [in_flight.next("run") for _ in range(3)] == ["second", "third", None]
    assert in_flight.take("run", "fourth")


def test_the_watchdog_times_evaluations_only(capfd: pytest.CaptureFixture[str]) -> None:
    virtual = clock.VirtualClock()
    ended: list[int] = []
    dog = watchdog.Watchdog(60, time=virtual, end=ended.append)
    dog.enter("slow workflow")
    virtual.advance(59)
    assert not dog.check()
    dog.leave()
    virtual.advance(1000)  # a Needs may take as long as it likes
    assert not dog.check()
    dog.enter("hung workflow")
    virtual.advance(60)
    assert dog.check()
    assert ended == [watchdog.EXIT_HUNG]
    assert "test_the_watchdog_times_evaluations_only" in capfd.readouterr().err


def test_the_watchdog_lets_people_think_and_processes_pause() -> None:
    virtual = clock.VirtualClock()
    ended: list[int] = []
    dog = watchdog.Watchdog(60, time=virtual, end=ended.append)
    dog.enter("a workflow")
    virtual.advance(100)
    dog.paused(90)
    assert not dog.check()
    standing, go = threading.Event(), threading.Event()

    def stand() -> None:
        # As pdb does at a breakpoint: its module's frames are on the stack.
        spelled = {"__name__": "pdb", "standing": standing, "go": go, "dog": dog}
        exec("dog.enter('a workflow'); standing.set(); go.wait(60)", spelled)

    thread = threading.Thread(target=stand)
    thread.start()
    assert standing.wait(60)
    virtual.advance(100)
    assert not dog.check()
    go.set()
    thread.join()
    assert ended == []


def test_the_watchdog_hands_back_before_it_ends() -> None:
    virtual = clock.VirtualClock()
    order: list[object] = []
    dog = watchdog.Watchdog(60, time=virtual, end=order.append)
    dog.rescue = order.append
    dog.enter("hung workflow")
    virtual.advance(60)
    assert dog.check()
    assert order == ["run() of hung workflow did not return or block within 60 s; the decider was ended", 70]
    dog.rescue = lambda reason: 1 // 0
    dog.enter("hung workflow")
    virtual.advance(60)
    assert dog.check()
