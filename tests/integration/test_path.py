"""The whole path with real processes: service, decider, workers, commands."""

from __future__ import annotations

import json
import signal
import socket
import time

import psutil
import pytest
from place_rig import Place, eventually

from simpleflow.process import tree

pytestmark = pytest.mark.needs_processes
FLOWS = "integration_flows"
REPORT = "examples.stdlib_report.workflow.StdlibReport"


def started(place: Place, *argv: str) -> tuple[str, str]:
    workflow_id, run_id = place.ok("workflow.start", *argv).split()
    return workflow_id, run_id


def test_commands_start_the_service_and_show_what_runs(place: Place) -> None:
    place.spawn("decider.start", f"{FLOWS}.Doubles")
    place.spawn("worker.start", "-t", "work", "-N", "2")
    begun = place.run("workflow.start", f"{FLOWS}.Doubles", "-i", "[4]", "--workflow-id", "d1", "--tags", "a,b")
    assert begun.returncode == 0, begun.stderr
    assert "using the embedded service" in begun.stderr
    _, run_id = begun.stdout.split()
    assert place.ok("workflow.wait", "d1") == "12"
    assert place.ok("workflow.result", "d1", "--run-id", run_id) == "12"
    info = json.loads(place.ok("workflow.info", "d1", "--format", "json"))
    assert (info["status"], info["tag_list"], info["input"]["args"]) == ("COMPLETED", "a,b", [4])
    tasks = json.loads(place.ok("workflow.tasks", "d1", "--format", "json"))
    assert [task["state"] for task in tasks] == ["completed"] * 4
    assert {task["type"] for task in tasks} == {f"{FLOWS}.double"}
    history = json.loads(place.ok("--format", "json", "workflow.history", "d1", run_id))["events"]
    assert history[0]["eventType"] == "WorkflowExecutionStarted"
    assert history[-1]["eventType"] == "WorkflowExecutionCompleted"
    listed = json.loads(place.ok("workflow.list", "--status", "closed", "--format", "json"))
    assert [(row["workflow_id"], row["run_id"]) for row in listed] == [("d1", run_id)]
    assert json.loads(place.ok("workflow.list", "--format", "json")) == []


def test_signals_cancellations_and_terminations_reach_the_workflow(place: Place) -> None:
    place.spawn("decider.start", "-t", "decisions")
    for name in ("s", "c", "t"):
        started(place, f"{FLOWS}.Waits", "--workflow-id", name)
    place.ok("workflow.signal", "go", "s", "-i", '{"fast":true}')
    assert json.loads(place.ok("workflow.wait", "s")) == {"fast": True}
    place.ok("workflow.cancel", "c")
    ended = place.run("workflow.wait", "c")
    assert (ended.returncode, "canceled" in ended.stderr) == (3, True), ended.stderr
    place.ok("workflow.terminate", "t", "--reason", "enough")
    ended = place.run("workflow.result", "t")
    assert ended.returncode == 1
    assert "enough" in ended.stderr
    assert place.run("workflow.terminate", "t").returncode == 1
    started(place, f"{FLOWS}.Fails", "--workflow-id", "f")
    ended = place.run("workflow.wait", "f")
    assert ended.returncode == 1
    assert "on purpose" in ended.stderr
    started(place, f"{FLOWS}.Naps", "--workflow-id", "n", "--execution-timeout", "1")
    assert place.run("workflow.wait", "n").returncode == 2


def test_the_same_example_gives_the_same_result_at_every_distance(place: Place) -> None:
    argv = ("-i", '{"kwargs":{"limit":8,"ranges":2}}')
    local = json.loads(place.ok("workflow.start", REPORT, "--local", *argv))
    assert local["modules"] == 8
    standalone = json.loads(place.ok("standalone", REPORT, "-W", "2", *argv))
    assert standalone == local
    place.spawn("decider.start", REPORT)
    for task_list in ("light", "heavy"):
        place.spawn("worker.start", "-t", task_list, "-N", "1", "--modules", "examples.stdlib_report")
    started(place, REPORT, "--workflow-id", "r", *argv)
    assert json.loads(place.ok("workflow.wait", "r", "--timeout", "300", timeout=300)) == local


def test_virtual_time_lets_an_hour_pass_at_once(place: Place) -> None:
    begun = time.monotonic()
    assert place.ok("workflow.start", f"{FLOWS}.Naps", "--local", "--virtual-time") == '"slept"'
    assert time.monotonic() - begun < 60


def test_values_over_the_limit_travel_beside_the_embedded_service(place: Place) -> None:
    assert place.ok("standalone", f"{FLOWS}.Long", "-W", "1") == json.dumps("x" * 40_000)
    assert list((place.folder / "data" / "blobs").iterdir())


def test_sigterm_drains_and_leaves_nothing(place: Place) -> None:
    decider = place.spawn("decider.start", f"{FLOWS}.Doubles")
    worker = place.spawn("worker.start", "-t", "work", "-N", "2")
    started(place, f"{FLOWS}.Doubles", "--workflow-id", "d")
    assert place.ok("workflow.wait", "d") == "6"
    # A poller says what it waits for: on the wrong list it would only be silent.
    assert "1 decider of task list 'decisions', domain 'default' at unix://" in place.logs()
    assert "worker of task list 'work', 2 tasks at a time, domain 'default' at unix://" in place.logs()
    for process in (decider, worker):
        begun = time.monotonic()
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
        assert time.monotonic() - begun < 30  # the open polls were revoked: they would last a minute
    assert place.ok("server.stop") == ""
    assert eventually(lambda: place.run("server.status").returncode == 1)


def test_ctrl_c_terminates_what_standalone_started(place: Place) -> None:
    place.ok("server.start", "--detach")  # else standalone may be who starts it, and it is to live on
    process = place.spawn("standalone", f"{FLOWS}.Naps", "--workflow-id", "n", "-W", "2")
    eventually(lambda: place.run("workflow.tasks", "n").stdout.strip())
    below = psutil.Process(process.pid).children(recursive=True)
    assert below
    process.send_signal(signal.SIGINT)
    assert process.wait(20) == 130, place.logs()
    assert not [found for found in below if tree.lives(found)]
    assert json.loads(place.ok("workflow.info", "n", "--format", "json"))["status"] == "TERMINATED"


@pytest.mark.parametrize("verified", [False, True])
def test_another_endpoint_is_reached_over_tcp_signed_when_there_are_keys(place: Place, verified: bool) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    if verified:
        keys = "[me]\naws_access_key_id = AKIDEXAMPLE\naws_secret_access_key = secret\n"
        (place.folder / "keys").write_text(keys)
        place.env |= {"AWS_ACCESS_KEY_ID": "AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY": "secret"}
    argv = ["--credentials", "keys"] if verified else []
    place.ok("server.start", "--detach", "--port", str(port), *argv)
    url = f"http://127.0.0.1:{port}"
    assert place.ok("--endpoint-url", url, "standalone", f"{FLOWS}.Doubles", "-W", "1") == "6"
    if verified:
        place.env["AWS_SECRET_ACCESS_KEY"] = "wrong"
        refused = place.run("--endpoint-url", url, "workflow.list")
        assert refused.returncode == 1
        assert "signature" in refused.stderr.lower()
        assert "Traceback" not in refused.stderr
