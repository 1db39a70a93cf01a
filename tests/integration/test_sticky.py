"""Sticky decisions against the embedded service: a poll brings what is new, and another decider can take over."""

from __future__ import annotations

import collections
import dataclasses
import threading
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import integration_flows
import pytest
from place_rig import Place

from simpleflow.client import Client, connect
from simpleflow.process import Stop
from simpleflow.runtime import standalone
from simpleflow.swf.transport import base

pytestmark = pytest.mark.needs_processes


class Counting:
    """A transport that counts calls, and the events that decision polls bring."""

    def __init__(self, transport: base.Transport) -> None:
        self._transport = transport
        self.calls: collections.Counter[str] = collections.Counter()
        #: events of each decision task, by the kind of its list
        self.brought: dict[str, list[int]] = {"shared": [], "sticky": []}

    def call(
        self, action: str, request: Mapping[str, Any], *, poll_id: str | None = None, ahead: base.Ahead | None = None
    ) -> Any:
        return self._seen(action, request, self._transport.call(action, request, poll_id=poll_id, ahead=ahead))

    def _seen(self, action: str, request: Mapping[str, Any], answer: Any) -> Any:
        self.calls[action] += 1
        if action == "PollForDecisionTask" and answer.task_token:
            self.brought["sticky" if "sticky" in request["taskList"]["name"] else "shared"].append(len(answer.events))
        return answer

    def exchange(self, action: str, request: Mapping[str, Any], following: base.Following) -> Any | None:
        return self._transport.exchange(action, request, following)

    def exchange_several(
        self, answers: Sequence[tuple[str, Mapping[str, Any]]], following: base.Following | None
    ) -> base.Exchanged | None:
        return self._transport.exchange_several(answers, following)

    def answer_and_poll(self, action: str, request: Mapping[str, Any], poll: base.Poll) -> Any:
        receive = self._transport.answer_and_poll(action, request, poll)
        self.calls[action] += 1
        return None if receive is None else lambda: self._seen(poll.action, poll.request, receive())

    def revoke(self, poll_id: str) -> bool:
        return self._transport.revoke(poll_id)

    def close(self) -> None:
        self._transport.close()


class Decider:
    """A decider on a thread of this process."""

    def __init__(self, endpoint_url: str) -> None:
        self.transport = Counting(connect.connect(endpoint_url=endpoint_url).transport)
        seen = self.transport

        class Watched(standalone.Place, frozen=True, kw_only=True):
            def connect(self, stop: Stop | None = None) -> connect.Connection | None:
                connection = super().connect(stop)
                return None if connection is None else dataclasses.replace(connection, transport=seen)

        spec = standalone.DeciderSpec(place=Watched(endpoint_url=endpoint_url), task_list="decisions")
        self._stop = Stop()
        self._thread = threading.Thread(target=standalone.run_decider, args=(spec,), kwargs={"stop": self._stop})
        self._thread.start()

    def close(self, level: int = Stop.DRAIN) -> None:
        self._stop.request(level)
        self._thread.join(30)
        assert not self._thread.is_alive()
        self.transport.close()


@pytest.fixture
def client(place: Place) -> Iterator[Client]:
    place.ok("server.start", "--detach")
    with Client(endpoint_url=f"unix://{place.folder}/run/swf.sock") as made:
        yield made


def test_polls_bring_what_is_new_and_a_drain_gives_executions_back(place: Place, client: Client) -> None:
    url = f"unix://{place.folder}/run/swf.sock"
    place.spawn("worker.start", "-t", "work", "-N", "1")
    first = Decider(url)
    try:
        run = client.start(integration_flows.Chain, 30)
        assert client.result(run, timeout=300) == 2**30
        waiting = client.start(integration_flows.Waits)
        other = client.start(integration_flows.Waits)
        client.signal(other, "go", 1)
        assert client.result(other, timeout=300) == 1
    finally:
        first.close()
    assert first.transport.calls["GetWorkflowExecutionHistory"] == 0
    assert len(first.transport.brought["sticky"]) >= 30
    assert max(first.transport.brought["sticky"]) <= 12  # the whole history would be up to 180
    second = Decider(url)
    try:
        client.signal(waiting, "go", 2)
        assert client.result(waiting, timeout=300) == 2
    finally:
        second.close()
    assert second.transport.brought["shared"]
