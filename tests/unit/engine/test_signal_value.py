"""One signal is one value, whoever sends it (docs/reference/formats.md, Signals)."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable
from typing import Any

import pytest

from simpleflow import Workflow
from simpleflow.client import Client
from simpleflow.testing import Environment
from tests.backends import places

from .driver import Play


class Receives(Workflow):
    """Returns what it got, and what was meant."""

    name, version, task_list = "receives", "1", "decisions"

    def run(self) -> Any:
        got = self.submit(self.wait_signal("go"))
        return [got.result, got.value]


class ReceivesAsync(Receives):
    name = "receives_async"

    async def run(self) -> Any:
        got = self.submit(self.wait_signal("go"))
        await got
        return [got.result, got.value]


class Sends(Workflow):
    name, version, task_list = "sends", "1", "decisions"

    def run(self, to: str, args: list[Any], kwargs: dict[str, Any]) -> None:
        self.submit(self.signal("go", *args, workflow_id=to, **kwargs)).result


VALUES = [None, False, 0, "", "text", [1, 2], {"a": 1}, {"args": [1], "kwargs": {}}, [], {}]


def by_client(environment: Environment, run: Any, value: Any) -> None:
    client = Client(environment.connection)
    client.signal(client.find(run.workflow_id), "go", value)


def by_environment(environment: Environment, run: Any, value: Any) -> None:
    environment.signal(run, "go", value)


@pytest.mark.parametrize("receiver", [Receives, ReceivesAsync])
@pytest.mark.parametrize("value", VALUES, ids=repr)
@pytest.mark.parametrize("send", [by_client, by_environment])
@pytest.mark.usefixtures("backend")
def test_clients_and_environments_send_the_value(send: Callable[..., None], value: Any, receiver: type) -> None:
    with places.environment() as environment:
        run = environment.start(receiver)
        environment.settle()
        send(environment, run, value)
        assert environment.wait(run) == [value, value]


@pytest.mark.parametrize(
    ("args", "kwargs", "value"),
    [
        ([False], {}, False),
        ([{"a": 1}], {}, {"a": 1}),
        ([[1, 2]], {}, [1, 2]),
        ([1, 2], {}, [1, 2]),
        ([], {"a": 1}, {"a": 1}),
        ([1], {"a": 2}, {"args": [1], "kwargs": {"a": 2}}),
        ([], {}, None),
    ],
)
@pytest.mark.usefixtures("backend")
def test_a_workflow_sends_arguments(args: list[Any], kwargs: dict[str, Any], value: Any) -> None:
    with places.environment() as environment:
        run = environment.start(Receives)
        environment.run(Sends, run.workflow_id, args, kwargs)
        sent, meant = environment.wait(run)
        assert sent == {"args": args, "kwargs": kwargs, "__propagate": True}
        assert meant == value


@pytest.mark.parametrize("text", ["go on", "{not json", "'x'", "NaNcy"])
def test_text_of_another_language_s_client_is_itself(text: str) -> None:
    play = Play(Receives)
    play.decide()
    play.history.signal("go", text)
    play.decide()
    assert play.result == [text, text]


def test_the_two_take_the_same_arguments() -> None:
    def of(function: Any) -> list[str]:
        return [f"{p.name}={p.default}" for p in inspect.signature(function).parameters.values()]

    assert of(Environment.signal) == of(Client.signal)


def test_a_wait_that_expired_has_no_value() -> None:
    class Expires(Receives):
        def run(self) -> Any:
            wait = self.submit(self.wait_signal("go", timeout=5))
            try:
                return wait.value
            except Exception as error:
                return type(error).__name__

    play = Play(Expires)
    (line,) = play.decide()
    play.history.fire_timer(line.split()[1])
    play.decide()
    assert play.result == "TaskCanceled"


@pytest.mark.usefixtures("backend")
def test_a_value_over_the_limit_travels_as_from_a_client() -> None:
    with places.environment() as environment:
        run = environment.start(Receives)
        environment.signal(run.workflow_id, "go", "x" * 40_000)
        assert json.dumps(environment.wait(run)[1]) == json.dumps("x" * 40_000)
