"""Local activities on real processes: they neither break a decider nor hold it."""

from __future__ import annotations

from collections.abc import Iterator

import integration_flows
import pytest
from place_rig import Place, eventually

from simpleflow.client import Client

pytestmark = pytest.mark.needs_processes


@pytest.fixture
def client(place: Place) -> Iterator[Client]:
    place.ok("server.start", "--detach")
    place.spawn("decider.start", "-t", "decisions")
    with Client(endpoint_url=f"unix://{place.folder}/run/swf.sock") as made:
        yield made


def test_one_that_hangs_or_breaks_its_process_fails_alone(client: Client) -> None:
    hung, broken = client.result(client.start(integration_flows.LocalTrouble), timeout=120)
    assert "ran for longer than 1 s" in hung
    assert "closed a descriptor" in broken
    assert client.result(client.start(integration_flows.LocalChain, 3), timeout=120) == 3


def test_those_that_wait_hold_up_nobody_else(place: Place, client: Client) -> None:
    # More of them than there are lanes.
    flag = place.folder / "go"
    waiting = [client.start(integration_flows.LocalWaits, str(flag)) for _ in range(6)]
    assert client.result(client.start(integration_flows.LocalChain, 3), timeout=120) == 3
    assert not flag.exists()
    flag.write_text("")
    assert [client.result(run, timeout=120) for run in waiting] == [str(flag)] * 6


@pytest.mark.slow
def test_one_that_hangs_does_not_hold_a_drain(place: Place, client: Client) -> None:
    (decider,) = place._started
    flag = place.folder / "never"
    run = client.start(integration_flows.LocalWaits, str(flag))
    eventually(lambda: any(event for event in client.history(run) if type(event).__name__ == "DecisionTaskStarted"))
    decider.terminate()
    assert decider.wait(60) == 0
    flag.write_text("")
    place.spawn("decider.start", "-t", "decisions")
    assert client.result(run, timeout=120) == str(flag)


def test_more_of_them_than_a_decision_has_time_for_are_shared_out(client: Client) -> None:
    run = client.start(integration_flows.LocalSlow, 12)
    assert client.result(run, timeout=120) == 12
    assert not [event for event in client.history(run) if "TimedOut" in type(event).__name__]
