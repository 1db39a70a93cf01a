"""Histories and exchanges recorded from the real Amazon SWF: the same calls write the same events."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import recorded_calls

_FOLDER = Path(__file__).resolve().parents[2] / "histories" / "swf"
_HISTORIES = sorted(path for path in _FOLDER.glob("*.json") if not path.name.startswith("_"))
_EXCHANGES: dict[str, list[dict[str, Any]]] = json.loads((_FOLDER / "_exchanges.json").read_text())


def _replay(path: Path) -> tuple[recorded_calls.Replayed, list[recorded_calls.Event]]:
    events = json.loads(path.read_text())["events"]
    return recorded_calls.Replayed(events, "test-simpleflow-workflow"), events


def _as_of_today(event: recorded_calls.Event) -> recorded_calls.Event:
    """Return a recorded event as the service of today writes it (docs/fidelity.md)."""
    made = json.loads(json.dumps(event))
    found = recorded_calls.attributes(made)
    if made["eventType"] == "DecisionTaskScheduled":
        found.setdefault("scheduleToStartTimeout", "NONE")
    if found.get("tagList") == [None]:
        del found["tagList"]
    return made


@pytest.mark.parametrize("path", _HISTORIES, ids=lambda path: path.stem)
def test_same_calls_same_events(path: Path) -> None:
    replayed, recorded = _replay(path)
    written = replayed.history()
    assert [event["eventType"] for event in written] == [event["eventType"] for event in recorded]
    expected = [_as_of_today(event) for event in recorded]
    for number, event in enumerate(expected):
        # Amazon's timers fire some milliseconds late; ours, on a virtual clock, when they are due.
        if event["eventType"] == "TimerFired":
            for each in (written, expected):
                del each[number]["eventTimestamp"], each[number + 1]["eventTimestamp"]
    assert written == expected


def test_there_are_recordings() -> None:
    assert len(_HISTORIES) >= 10
    kinds = {event["eventType"] for path in _HISTORIES for event in json.loads(path.read_text())["events"]}
    assert len(kinds) >= 17


@pytest.mark.parametrize(("number", "name"), [(0, "cancel_requested"), (1, "chain_send_result")])
def test_describe_as_recorded(number: int, name: str) -> None:
    replayed, _ = _replay(_FOLDER / f"{name}.json")
    recorded = _EXCHANGES["DescribeWorkflowExecution"][number]["response"]
    recorded["executionInfo"]["execution"]["runId"] = replayed.run_id
    assert replayed.describe() == recorded


@pytest.mark.parametrize("exchange", _EXCHANGES["StartWorkflowExecution"])
def test_start_as_recorded(exchange: dict[str, Any]) -> None:
    service = recorded_calls.opened()
    kind = exchange["request"]["workflowType"]
    defaults = _EXCHANGES["DescribeWorkflowType"][0]["response"]["configuration"]
    service.call("RegisterWorkflowType", {"domain": "TestDomain", **kind, **defaults})
    answer = service.call("StartWorkflowExecution", exchange["request"])
    assert isinstance(answer, dict)
    assert answer.keys() == exchange["response"].keys()
    assert isinstance(answer["runId"], str)
    assert 0 < len(answer["runId"]) <= 64


@pytest.mark.parametrize("exchange", _EXCHANGES["DescribeWorkflowType"])
def test_describe_type_as_recorded(exchange: dict[str, Any]) -> None:
    service = recorded_calls.opened()
    recorded = exchange["response"]
    kind = exchange["request"]["workflowType"]
    service.call("RegisterWorkflowType", {"domain": "TestDomain", **kind, **recorded["configuration"]})
    answer = service.call("DescribeWorkflowType", exchange["request"])
    assert isinstance(answer, dict)
    created = answer["typeInfo"].pop("creationDate")
    assert answer == {
        "configuration": recorded["configuration"],
        "typeInfo": {"workflowType": kind, "status": "REGISTERED"},
    }
    assert isinstance(created, float)
