"""What a decider had goes to the others at once when it ends, in whatever way."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from typing import Any

import integration_flows
import psutil
import pytest
from place_rig import Place, eventually

from simpleflow.client import Client
from simpleflow.process import tree

pytestmark = pytest.mark.needs_processes


@pytest.fixture
def client(place: Place) -> Iterator[Client]:
    place.ok("server.start", "--detach")
    with Client(endpoint_url=f"unix://{place.folder}/run/swf.sock") as made:
        yield made


def kinds(client: Client, run: Any) -> list[str]:
    return [type(event).__name__ for event in client.history(run)]


def waiting(client: Client) -> Any:
    """A run that is suspended in a decider."""
    run = client.start(integration_flows.Waits)
    eventually(lambda: "DecisionTaskCompleted" in kinds(client, run))
    return run


def lists(client: Client, run: Any) -> list[str]:
    """The task list of each decision, as scheduled."""
    found = [event for event in client.history(run) if type(event).__name__ == "DecisionTaskScheduled"]
    return [event.attributes.task_list.name for event in found]  # type: ignore[attr-defined]  # told by its name


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_nothing_waits_for_the_sticky_list_of_a_decider_that_is_gone(
    place: Place, client: Client, number: signal.Signals
) -> None:
    first = place.spawn("decider.start", "-t", "decisions")
    runs = [waiting(client) for _ in range(3)]
    child = psutil.Process(first.pid).children()[0]
    if number == signal.SIGTERM:
        first.send_signal(number)
        first.wait(60)
    else:
        child.send_signal(number)  # its supervisor starts another one
        eventually(lambda: not tree.lives(child))
    signalled = waiting(client) if number == signal.SIGKILL else None  # the new one is there
    for run in runs:
        client.signal(run, "go", 1)
    if number == signal.SIGTERM:
        place.spawn("decider.start", "-t", "decisions")
    assert [client.result(run, timeout=120) for run in runs] == [1, 1, 1]
    for run in runs:
        assert "DecisionTaskTimedOut" not in kinds(client, run)
        assert lists(client, run) == ["decisions", "decisions"]
    if signalled is not None:
        client.signal(signalled, "go", 2)
        assert client.result(signalled, timeout=120) == 2
        assert lists(client, signalled)[-1] != "decisions"  # the living one is still asked first


def test_the_decision_of_a_killed_decider_is_made_by_another(place: Place, client: Client) -> None:
    first = place.spawn("decider.start", "-t", "decisions", "--watchdog", "0")
    run = client.start(integration_flows.Stands, str(place.folder))
    eventually((place.folder / "stands").exists)
    psutil.Process(first.pid).children()[0].kill()
    (place.folder / "go").write_text("")
    assert client.result(run, timeout=120) == "went on"


def test_a_run_that_ends_its_deciders_does_not_hold_the_others(place: Place, client: Client) -> None:
    place.spawn("decider.start", "-t", "decisions")
    ends = client.start(integration_flows.EndsItsDecider, str(place.folder))
    # Three deciders, and one a second later. Then it is left alone for a minute.
    eventually(lambda: kinds(client, ends).count("TimerStarted") == 2)
    assert client.result(client.start(integration_flows.LocalChain, 1), timeout=120) == 1
    assert (place.folder / "ended").read_text() == "x" * 4
    assert "run() may end its process" in place.ok("workflow.info", ends.workflow_id)
    (place.folder / "mended").write_text("")
    client.signal(ends, "look")
    assert client.result(ends, timeout=120) == "went on"


@pytest.mark.slow  # a minute: the watchdog's own patience
def test_the_watchdog_hands_back_what_its_decider_has(place: Place, client: Client) -> None:
    place.spawn("decider.start", "-t", "decisions", "--watchdog", "2")
    hung = client.start(integration_flows.Stands, str(place.folder))
    eventually((place.folder / "stands").exists)
    # They reach the decider while its engine hangs.
    others = [client.start(integration_flows.LocalChain, 1) for _ in range(2)]
    assert [client.result(run, timeout=120) for run in others] == [1, 1]
    started = [event for event in client.history(hung) if type(event).__name__ == "TimerStarted"]
    assert {event.attributes.timer_id for event in started} == {"_simpleflow_quarantined"}  # type: ignore[attr-defined]
    (place.folder / "go").write_text("")
    assert client.result(hung, timeout=120) == "went on"
    assert not [kind for run in (hung, *others) for kind in kinds(client, run) if kind == "DecisionTaskTimedOut"]
