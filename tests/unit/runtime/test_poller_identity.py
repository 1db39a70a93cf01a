from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from simpleflow import settings
from simpleflow.client import inputs
from simpleflow.core import errors
from simpleflow.runtime import poller_identity


@pytest.fixture(autouse=True)
def _settings() -> Iterator[None]:
    settings.reload()
    yield
    settings.reload()


def test_the_node_comes_first() -> None:
    settings.put_setting("SIMPLEFLOW_NODE_ID", "i-0abc")
    assert list(json.loads(poller_identity.make())) == ["node", "pid", "hostname", "user", "exe"]


def test_keys_are_dropped_from_the_end_until_it_fits() -> None:
    settings.put_setting("SIMPLEFLOW_NODE_ID", "n" * 180)
    made = poller_identity.make()
    assert len(made) <= 256
    assert list(json.loads(made))[:2] == ["node", "pid"]
    assert "exe" not in json.loads(made)


def test_a_given_identity_replaces_it() -> None:
    settings.put_setting("SIMPLEFLOW_IDENTITY", '{"who":"me"}')
    assert json.loads(poller_identity.make()) == {"who": "me"}
    settings.put_setting("SIMPLEFLOW_IDENTITY", "me")
    with pytest.raises(errors.UsageError, match="SIMPLEFLOW_IDENTITY"):
        poller_identity.make()


@pytest.mark.parametrize(
    ("text", "args", "kwargs"),
    [
        (None, [], {}),
        ("", [], {}),
        ("[1, 2]", [1, 2], {}),
        ("3", [3], {}),
        ('"x"', ["x"], {}),
        ('{"args": [1], "kwargs": {"a": 2}}', [1], {"a": 2}),
        ('{"kwargs": {"a": 2}}', [], {"a": 2}),
    ],
)
def test_input_is_read_as_people_write_it(text: str | None, args: list[Any], kwargs: dict[str, Any]) -> None:
    read = inputs.read(text, source="--input")
    assert (read["args"], read["kwargs"]) == (args, kwargs)


@pytest.mark.parametrize("text", ["[1, 2", "{limit: 3}", '{"limit": 3}', '{"args": 3}', '{"kwargs": []}'])
def test_wrong_input_names_its_place(text: str) -> None:
    with pytest.raises(errors.UsageError, match="--input"):
        inputs.read(text, source="--input")
