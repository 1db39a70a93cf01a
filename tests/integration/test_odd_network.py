"""Proxies, portals, expired keys and broken answers between everybody and the service: finished work counts once."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import odd_proxy
import pytest
from integration_flows import Payments
from place_rig import Place

from simpleflow.client import Client
from simpleflow.core import events

pytestmark = pytest.mark.needs_processes


def _ran(folder: Path) -> Counter[str]:
    return Counter((folder / "paid").read_text().split())


def _timed_out(found: list[events.Base]) -> int:
    return sum(isinstance(event, events.ActivityTaskTimedOut) for event in found)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_every_result_is_right_and_nothing_ran_twice(place: Place) -> None:
    workflows, tasks = 60, 20
    place.ok("server.start", "--detach")
    proxy = odd_proxy.OddProxy(f"{place.folder}/run/swf.sock", share=0.01)
    try:
        for _ in range(2):
            place.spawn("worker.start", "-t", "work", "-N", "3", "--endpoint-url", proxy.url)
        place.spawn("decider.start", "integration_flows.Payments", "--endpoint-url", proxy.url)
        with (
            Client(endpoint_url=proxy.url) as client,
            Client(endpoint_url=f"unix://{place.folder}/run/swf.sock") as near,
        ):
            runs = [client.start(Payments, number, tasks, str(place.folder)) for number in range(workflows)]
            results = [client.result(run, timeout=600) for run in runs]
            found = [list(near.history(run)) for run in runs]
            assert [near.find(run.workflow_id) for run in runs] == runs  # no start was made twice
    finally:
        proxy.close()
    wanted = [
        [*(f"{number}-{n}" for n in range(tasks)), *(f"{number}-chain-{n}" for n in range(3))]
        for number in range(workflows)
    ]
    assert results == wanted
    assert not [event for each in found for event in each if isinstance(event, events.ActivityTaskFailed)]
    ran = _ran(place.folder)
    assert set(ran) == {key for each in wanted for key in each}
    again = sum(ran.values()) - len(ran)
    assert again <= sum(_timed_out(each) for each in found), ran.most_common(5)
    assert set(proxy.met) == set(odd_proxy.FAULTS)
