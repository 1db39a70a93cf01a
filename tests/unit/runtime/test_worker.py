from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from fake_swf import FakeSwf, task
from worker_fixtures import Start, answer, details, eventually, start, swf

from simpleflow.core import clock, interceptors
from simpleflow.process import Stop, tree
from simpleflow.runtime import worker

__all__ = ["start", "swf"]
pytestmark = pytest.mark.needs_processes


def test_tasks_are_run_and_runners_reused(swf: FakeSwf, start: Start) -> None:
    start()
    pids = []
    for number in range(3):
        swf.tasks.put(task("own_pid", token=f"t{number}"))
        action, request = answer(swf)
        assert (action, request["taskToken"]) == ("RespondActivityTaskCompleted", f"t{number}")
        pids.append(json.loads(request["result"]))
    assert len(set(pids)) == 1
    assert pids[0] != os.getpid()


def test_completed_tasks_are_counted_by_type_and_failed_ones_are_not(swf: FakeSwf, start: Start) -> None:
    worker = start()
    for number, (name, args) in enumerate((("add", (1, 2)), ("fail", ("no",)), ("add", (3, 4)))):
        swf.tasks.put(task(name, *args, token=f"t{number}"))
        answer(swf)
    eventually(lambda: [each.count for each in worker.finished] == [2])
    [counted] = worker.finished
    assert counted.activity.endswith("add")
    assert 0 <= counted.longest <= counted.seconds < 60


def test_a_runner_is_recycled_after_so_many_tasks(swf: FakeSwf, start: Start) -> None:
    start(max_tasks=1)
    pids = []
    for number in range(2):
        swf.tasks.put(task("own_pid", token=f"t{number}"))
        pids.append(json.loads(answer(swf)[1]["result"]))
    assert pids[0] != pids[1]
    eventually(lambda: not tree.lives(pids[0]))


@pytest.mark.parametrize(
    ("name", "args", "error", "message"),
    [
        ("fail", ["bad row 7"], "ValueError", "bad row 7"),
        ("leave", [], "SystemExit", "3"),
        ("unserialisable", [], "TypeError", "runtime_activities.unserialisable"),
        ("long_text", [40_000], "ValueTooLarge", "SIMPLEFLOW_JUMBO_FIELDS_BUCKET"),
        ("no_such_module_at_all.f", [], "DispatchError", "no_such_module_at_all"),
    ],
)
def test_failures_have_json_details(
    swf: FakeSwf, start: Start, name: str, args: list[Any], error: str, message: str
) -> None:
    start()
    swf.tasks.put(task(name, *args))
    action, request = answer(swf)
    assert action == "RespondActivityTaskFailed"
    assert details(request)["error"] == error
    assert message in details(request)["message"]
    assert len(request["reason"]) <= 256


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV, signal.SIGTERM])
def test_a_runner_that_is_killed_fails_its_task_and_the_next_one_runs(
    swf: FakeSwf, start: Start, number: signal.Signals
) -> None:
    start()
    swf.tasks.put(task("die", int(number)))
    action, request = answer(swf)
    assert action == "RespondActivityTaskFailed"
    assert number.name in request["reason"]
    assert number.name in details(request)["message"]
    swf.tasks.put(task("add", 1, 2, token="t2"))
    assert json.loads(answer(swf)[1]["result"]) == 3


def test_failed_heartbeats_polls_and_answers_are_tried_again_by_the_same_process(swf: FakeSwf, start: Start) -> None:
    swf.failing = {"PollForActivityTask": 2, "RecordActivityTaskHeartbeat": 2, "RespondActivityTaskCompleted": 2}
    start()
    swf.tasks.put(task("time.sleep", 1.2))
    action, request = answer(swf)
    assert action == "RespondActivityTaskCompleted"
    assert "result" not in request
    assert swf.beats
    assert not any(swf.failing.values())
    swf.tasks.put(task("add", 1, 2, token="t2"))
    assert answer(swf)[1]["taskToken"] == "t2"


def test_a_heartbeat_whose_answer_is_not_understood_is_a_failed_one(swf: FakeSwf, start: Start) -> None:
    swf.broken = {"RecordActivityTaskHeartbeat": 2, "PollForActivityTask": 1}
    start()
    swf.tasks.put(task("time.sleep", 1.2))
    assert answer(swf)[1]["taskToken"] == "token-1"
    assert not any(swf.broken.values())


def test_a_runner_whose_task_was_given_up_gets_no_other_one(
    swf: FakeSwf, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the answer of the first would be taken for the second's."""

    def lost(*arguments: Any) -> None:
        raise RuntimeError("a fault of the worker")

    begun = start()
    with monkeypatch.context() as patch:
        patch.setattr("simpleflow.runtime.heartbeat.Heartbeat.beat", lost)
        swf.tasks.put(task("time.sleep", 1.0))
        eventually(lambda: begun.running)
        eventually(lambda: not begun.running)
    swf.tasks.put(task("add", 1, 2, token="t2"))
    action, request = answer(swf)
    assert (action, request["taskToken"], request.get("result")) == ("RespondActivityTaskCompleted", "t2", "3")


def test_a_closed_task_loses_its_whole_process_tree_after_its_clean_up(
    swf: FakeSwf, start: Start, tmp_path: Path
) -> None:
    start()
    swf.tasks.put(task("sleep_with_child", str(tmp_path)))
    eventually((tmp_path / "pids").exists)
    swf.unknown = True
    pids = [int(word) for word in (tmp_path / "pids").read_text().split()]
    eventually(lambda: not any(tree.lives(pid) for pid in pids))
    assert (tmp_path / "cleaned").exists()
    swf.unknown = False
    swf.tasks.put(task("add", 1, 2, token="t2"))
    assert answer(swf)[1]["taskToken"] == "t2"  # nothing was answered for the closed one


@pytest.mark.parametrize("name", ["sleep_with_child", "stubborn"])
def test_a_requested_cancellation_reaches_the_task_and_is_answered(
    swf: FakeSwf, start: Start, tmp_path: Path, name: str
) -> None:
    start()
    swf.tasks.put(task(name, str(tmp_path)))
    eventually((tmp_path / "pids").exists)
    swf.cancel_requested = True
    assert answer(swf)[0] == "RespondActivityTaskCanceled"
    swf.cancel_requested = False
    swf.tasks.put(task("add", 1, 2, token="t2"))
    assert answer(swf)[1]["taskToken"] == "t2"


def test_polls_are_opened_only_while_a_runner_is_free(swf: FakeSwf, start: Start, tmp_path: Path) -> None:
    made = start()
    swf.tasks.put(task("sleep_with_child", str(tmp_path)))
    eventually((tmp_path / "pids").exists)
    polls = swf.polls
    swf.tasks.put(task("add", 1, 2, token="t2"))
    time.sleep(0.5)
    assert swf.polls == polls
    assert not made.polling
    assert [shown.id for shown in made.running] == ["run/activity-sleep_with_child-token-1"]


def test_a_drain_ends_the_open_poll_and_finishes_the_task(swf: FakeSwf, start: Start) -> None:
    made = start(processes=2)
    swf.tasks.put(task("time.sleep", 1))
    eventually(lambda: made.running and made.polling)
    made.stop.request(Stop.DRAIN)
    assert answer(swf)[0] == "RespondActivityTaskCompleted"
    assert swf.revoked >= 1
    eventually(lambda: made.acknowledged)


def test_hurry_fails_the_task_as_interrupted(swf: FakeSwf, start: Start, tmp_path: Path) -> None:
    made = start()
    swf.tasks.put(task("sleep_with_child", str(tmp_path)))
    eventually((tmp_path / "pids").exists)
    made.stop.request(Stop.HURRY)
    action, request = answer(swf)
    assert (action, request["reason"]) == ("RespondActivityTaskFailed", "simpleflow.node.interrupted")
    pids = [int(word) for word in (tmp_path / "pids").read_text().split()]
    eventually(lambda: not any(tree.lives(pid) for pid in pids))


def test_a_drain_ends_tasks_after_its_limit(
    swf: FakeSwf, start: Start, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    swf.tasks.put(task("sleep_with_child", str(tmp_path)))
    made = start(drain=0.2)
    eventually(lambda: (tmp_path / "pids").exists())
    made.stop.request(Stop.DRAIN)
    action, request = answer(swf)
    assert (action, request["reason"]) == ("RespondActivityTaskFailed", "simpleflow.node.interrupted")
    assert "--drain-timeout" in caplog.text


def test_runners_end_with_all_they_started_when_their_worker_is_killed(tmp_path: Path) -> None:
    code = (
        "import sys\n"
        "from simpleflow.runtime import frames, pool, values\n"
        "runner = pool.Runner(frames.Setup(grace=0.2))\n"
        "runner.ready()\n"
        "name = 'runtime_activities.sleep_with_child'\n"
        "task = values.Task(activity_id='a', name=name, version='1', workflow_id='w', run_id='r', domain='d',\n"
        "                   task_list='t', input='[\\'%s\\']'.replace(chr(39), chr(34)) % sys.argv[1])\n"
        "runner.start(task)\n"
        "while True: runner.receive(60)\n"
    )
    path = f"{Path(__file__).parent}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"
    worker_process = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], env={**os.environ, "PYTHONPATH": path}
    )
    eventually((tmp_path / "pids").exists)
    worker_process.kill()
    worker_process.wait()
    pids = [int(word) for word in (tmp_path / "pids").read_text().split()]
    eventually(lambda: not any(tree.lives(pid) for pid in pids))
    assert (tmp_path / "cleaned").exists()


def test_modules_limit_what_may_run(swf: FakeSwf, start: Start) -> None:
    start(modules=("json",))
    swf.tasks.put(task("add", 1, 2))
    action, request = answer(swf)
    assert action == "RespondActivityTaskFailed"
    assert "--modules" in details(request)["message"]


def test_a_given_answer_of_a_poll_is_worked_and_nothing_is_polled(swf: FakeSwf, start: Start) -> None:
    made = worker.Worker(swf, worker.Options(domain="d", task_list="tl", identity="{}"))
    made.work(task("add", 2, 3))
    assert answer(swf) == ("RespondActivityTaskCompleted", {"taskToken": "token-1", "result": "5"})
    assert swf.polls == 0


def test_one_task_and_no_more(swf: FakeSwf, start: Start) -> None:
    made = start(one_task=True)
    swf.tasks.put(task("add", 1, 2))
    swf.tasks.put(task("add", 1, 2, token="t2"))
    assert answer(swf)[1]["taskToken"] == "token-1"
    eventually(lambda: made.acknowledged)
    assert swf.tasks.qsize() == 1


class Asleep(clock.SleepClock):
    """The machine's clock, and what the test says that the machine slept."""

    slept = 0.0

    def monotonic(self) -> float:
        return super().monotonic() + self.slept


@pytest.fixture
def asleep(swf: FakeSwf) -> Asleep:
    """The machine sleeps for 100 s each time when a task has come."""
    time = Asleep()

    def sleep() -> None:
        time.slept += 100.0

    swf.at_task = sleep
    return time


def test_a_worker_that_slept_after_the_poll_asks_whose_the_task_is(
    swf: FakeSwf, start: Start, asleep: Asleep, tmp_path: Path
) -> None:
    swf.unknown = True
    swf.failing = {"RecordActivityTaskHeartbeat": 2}
    begun = start(heartbeat=60.0, time=asleep)
    swf.tasks.put(task("write", str(tmp_path / "ran")))
    eventually(lambda: swf.beats and not begun.running)
    swf.unknown = False
    swf.tasks.put(task("add", 1, 2, token="t2"))
    assert answer(swf)[1]["taskToken"] == "t2"
    assert [beat["taskToken"] for beat in swf.beats] == ["token-1", "t2"]
    assert not (tmp_path / "ran").exists()
    assert not swf.failing["RecordActivityTaskHeartbeat"]


def test_a_task_that_was_cancelled_while_the_worker_slept_is_not_begun(
    swf: FakeSwf, start: Start, asleep: Asleep, tmp_path: Path
) -> None:
    swf.cancel_requested = True
    start(heartbeat=60.0, time=asleep)
    swf.tasks.put(task("write", str(tmp_path / "ran")))
    assert answer(swf)[0] == "RespondActivityTaskCanceled"
    assert not (tmp_path / "ran").exists()


def test_a_task_that_comes_at_once_is_not_asked_for(swf: FakeSwf, start: Start) -> None:
    swf.tasks.put(task("add", 1, 2))
    start(heartbeat=60.0)
    assert answer(swf)[0] == "RespondActivityTaskCompleted"
    assert swf.beats == []


def test_a_runner_that_dies_while_it_is_idle_costs_no_task(swf: FakeSwf, start: Start) -> None:
    start()
    swf.tasks.put(task("own_pid"))
    pid = json.loads(answer(swf)[1]["result"])
    os.kill(pid, signal.SIGKILL)
    eventually(lambda: not tree.lives(pid))
    swf.tasks.put(task("own_pid", token="t2"))
    action, request = answer(swf)
    assert action == "RespondActivityTaskCompleted"
    assert json.loads(request["result"]) != pid


def test_a_runner_that_cannot_be_started_takes_nothing_from_the_others(
    swf: FakeSwf, start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    begun = start(processes=2, max_tasks=1)
    swf.tasks.put(task("wait_for", str(tmp_path / "go")))
    eventually(lambda: begun.running and begun.polling)
    with monkeypatch.context() as patch:
        patch.setattr(sys, "executable", str(tmp_path / "no-such-python"))
        swf.tasks.put(task("add", 1, 2, token="t2"))
        assert answer(swf)[1]["taskToken"] == "t2"
        eventually(lambda: "did not start" in caplog.text)
        (tmp_path / "go").write_text("")
        assert answer(swf)[1]["taskToken"] == "token-1"
    swf.tasks.put(task("add", 3, 4, token="t3"))
    assert answer(swf)[1]["result"] == "7"


def test_a_thread_that_cannot_be_started_is_waited_for(
    swf: FakeSwf, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin, refused = threading.Thread.start, ["slot-0", "slot-0"]

    def scarce(thread: threading.Thread) -> None:
        if thread.name in refused:
            refused.remove(thread.name)
            raise RuntimeError("can't start new thread")
        begin(thread)

    monkeypatch.setattr(threading.Thread, "start", scarce)
    start()
    swf.tasks.put(task("add", 1, 2))
    assert answer(swf)[1]["result"] == "3"
    assert refused == []


@pytest.mark.parametrize("answered", [True, False])
def test_a_timeout_frees_its_slot(swf: FakeSwf, start: Start, tmp_path: Path, answered: bool) -> None:
    """Long before the next heartbeat is due, whether the service answers or not."""
    start(heartbeat=60.0)
    swf.tasks.put(task("limited", str(tmp_path)))
    eventually((tmp_path / "pids").exists)
    if answered:
        swf.unknown = True
    else:
        swf.failing = {"RecordActivityTaskHeartbeat": 1000}
    pids = [int(word) for word in (tmp_path / "pids").read_text().split()]
    eventually(lambda: not any(tree.lives(pid) for pid in pids))
    swf.unknown, swf.failing = False, {}
    swf.tasks.put(task("add", 1, 2, token="t2"))
    if not answered:
        action, request = answer(swf)
        assert (action, details(request)["error"]) == ("RespondActivityTaskFailed", "TimedOut")
    assert answer(swf)[1]["taskToken"] == "t2"


def test_a_task_that_was_scheduled_with_a_longer_limit_runs_on(swf: FakeSwf, start: Start, tmp_path: Path) -> None:
    start(heartbeat=60.0)
    swf.tasks.put(task("limited_wait", str(tmp_path / "go")))
    eventually(lambda: len(swf.beats) >= 3)
    (tmp_path / "go").write_text("")
    assert answer(swf)[0] == "RespondActivityTaskCompleted"


def test_a_task_that_holds_too_much_memory_is_ended(swf: FakeSwf, start: Start) -> None:
    made = start(task_mib=300)
    swf.tasks.put(task("fills_memory", 400))
    action, request = answer(swf)
    assert (action, details(request)["error"]) == ("RespondActivityTaskFailed", "OutOfMemory")
    assert "300 MiB" in request["reason"]
    swf.tasks.put(task("add", 1, 2, token="t2"))
    assert answer(swf)[1]["result"] == "3"
    assert "1 slots" in made.status_text()


def test_a_declared_clean_up_runs_after_a_kill_and_a_cancellation_and_not_after_a_return(
    swf: FakeSwf, start: Start, tmp_path: Path
) -> None:
    start()
    swf.tasks.put(task("returns_tidily", str(tmp_path)))
    assert answer(swf)[0] == "RespondActivityTaskCompleted"
    assert not (tmp_path / "tidied").exists()
    swf.tasks.put(task("dies_untidily", str(tmp_path), int(signal.SIGKILL), token="t2"))
    assert "SIGKILL" in answer(swf)[1]["reason"]
    (tmp_path / "tidied").unlink()  # it ran before the answer: the next attempt may begin anywhere
    swf.tasks.put(task("hangs_untidily", str(tmp_path), token="t3"))
    eventually((tmp_path / "pids").exists)
    swf.cancel_requested = True
    assert answer(swf)[0] == "RespondActivityTaskCanceled"
    assert (tmp_path / "tidied").exists()


def test_a_clean_up_that_fails_is_told(
    swf: FakeSwf, start: Start, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    start()
    swf.tasks.put(task("hangs_and_stays_untidy", str(tmp_path)))
    eventually((tmp_path / "pids").exists)
    swf.unknown = True
    eventually(lambda: "ValueError: cannot tidy" in caplog.text)
    swf.unknown = False
    swf.tasks.put(task("add", 1, 2, token="t2"))
    assert answer(swf)[1]["taskToken"] == "t2"


def test_an_activity_may_run_on_when_its_task_is_closed(swf: FakeSwf, start: Start, tmp_path: Path) -> None:
    made = start()
    swf.tasks.put(task("runs_on", str(tmp_path)))
    eventually((tmp_path / "pids").exists)
    swf.unknown = True
    beats = len(swf.beats)
    eventually(lambda: len(swf.beats) > beats)
    assert made.running
    (tmp_path / "go").write_text("")
    eventually((tmp_path / "ended").exists)
    swf.unknown = False
    swf.tasks.put(task("add", 1, 2, token="t2"))
    assert answer(swf)[1]["taskToken"] == "t2"  # nothing was answered for the closed one


@pytest.mark.parametrize("how", ["fail", "die"])
def test_a_failure_tells_what_was_reported_last(swf: FakeSwf, start: Start, how: str) -> None:
    swf.tasks.put(task("reports_and", how))
    start()
    assert json.loads(answer(swf)[1]["details"])["last_heartbeat"] == '{"line":7}'


def test_an_attempt_sees_what_the_one_before_it_reported(swf: FakeSwf, start: Start) -> None:
    given = task("reports_and", "return")
    given.input = json.dumps({**json.loads(given.input), "__extra": {"last_heartbeat": '{"line":6}'}})
    swf.tasks.put(given)
    swf.tasks.put(task("reports_and", "return", token="token-2"))
    start()
    assert json.loads(answer(swf)[1]["result"]) == [{"line": 6}, {"line": 6}]
    assert json.loads(answer(swf)[1]["result"]) == [None, None]


def test_a_task_that_is_left_open_is_not_answered_and_frees_its_slot(
    swf: FakeSwf, start: Start, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    swf.tasks.put(task("left_open", str(tmp_path / "token")))
    swf.tasks.put(task("own_pid", token="token-2"))
    started = start()
    assert answer(swf)[1]["taskToken"] == "token-2"
    assert (tmp_path / "token").read_text() == "token-1"
    eventually(lambda: not started.running)
    assert "is left open" in caplog.text
    assert swf.answers.empty()


def test_interceptors_hear_how_tasks_end_and_harm_none(
    swf: FakeSwf, start: Start, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    heard: queue.Queue[tuple[str, str]] = queue.Queue()

    class Hears(interceptors.Interceptor):
        def task_answered(self, outcome: interceptors.TaskAnswered) -> None:
            heard.put((outcome.outcome, outcome.reason))

    class Fails(interceptors.Interceptor):
        def task_received(self, task: interceptors.TaskReceived) -> None:
            raise RuntimeError("of somebody")

        task_answered = task_received  # type: ignore[assignment]

    for given in (task("add", 1, 1), task("fail", "odd"), task("left_open", str(tmp_path / "token"))):
        swf.tasks.put(given)
    start(mounted=[Fails(), Hears()])
    assert heard.get(timeout=60) == ("completed", "")
    assert heard.get(timeout=60) == ("failed", "ValueError: odd")
    assert heard.get(timeout=60) == ("left_open", "")
    assert "An interceptor failed (Fails)" in caplog.text
    swf.cancel_requested = True
    swf.tasks.put(task("sleep_with_child", str(tmp_path)))
    assert heard.get(timeout=60) == ("canceled", "")
    swf.cancel_requested, swf.unknown = False, True
    swf.tasks.put(task("sleep_with_child", str(tmp_path)))
    assert heard.get(timeout=60) == ("dropped", "")
