"""The answers against the service model, and bodies as services send them."""

from __future__ import annotations

from typing import Any

import botocore.session
import msgspec
import pytest

from simpleflow.core import events
from simpleflow.swf import shapes

MODEL: Any = botocore.session.get_session().get_service_model("swf")


def test_every_action_has_an_answer() -> None:
    assert sorted(shapes.RESPONSES) == sorted(MODEL.operation_names)
    assert len(shapes.RESPONSES) == 39


def compare(found: Any, shape: Any, path: str) -> None:
    """Compare a Struct with a shape of the model, members and what is in them."""
    fields = {field.encode_name: field for field in msgspec.structs.fields(found)}
    assert set(fields) == set(shape.members), path
    for name, member in shape.members.items():
        inner = member.member if member.type_name == "list" else member
        if inner.type_name == "structure" and inner.name != "HistoryEvent":
            kind = msgspec.inspect.type_info(fields[name].type)
            compare(structure(kind), inner, f"{path}.{name}")


def structure(kind: Any) -> Any:
    if isinstance(kind, msgspec.inspect.StructType):
        return kind.cls
    inner = kind.types if isinstance(kind, msgspec.inspect.UnionType) else [kind.item_type]
    return structure(next(t for t in inner if not isinstance(t, msgspec.inspect.NoneType)))


@pytest.mark.parametrize("action", sorted(shapes.RESPONSES))
def test_names_are_those_of_the_service_model(action: str) -> None:
    shape = MODEL.operation_model(action).output_shape
    if shape is None:
        assert shapes.RESPONSES[action] is shapes.Nothing
        return
    compare(shapes.RESPONSES[action], shape, action)


def test_an_empty_poll_has_an_empty_token_and_no_events() -> None:
    for body in (b'{"startedEventId":0,"previousStartedEventId":0,"taskToken":""}', b'{"startedEventId":0}'):
        empty = shapes.decode("PollForDecisionTask", body)
        assert (empty.task_token, empty.events, empty.next_page_token) == ("", [], None)
    assert shapes.decode("PollForActivityTask", b'{"startedEventId":0}').task_token == ""


def test_what_a_later_service_adds_is_skipped() -> None:
    assert shapes.decode("CountPendingActivityTasks", b'{"count":3,"weight":{"x":1}}') == shapes.Count(count=3)


@pytest.mark.parametrize("action", sorted(shapes.RESPONSES))
def test_only_the_documented_shape_is_an_answer(action: str) -> None:
    for body in (b'{"status":"ok"}', b"<html>ok</html>", b"null", b"[]", b'{"count":'):
        with pytest.raises(msgspec.DecodeError):
            shapes.decode(action, body)
    if shapes.RESPONSES[action] is shapes.Nothing:
        assert shapes.decode(action, b"") == shapes.decode(action, b"{}") == shapes.Nothing()
    else:
        for body in (b"", b"{}"):
            with pytest.raises(msgspec.DecodeError):
                shapes.decode(action, body)


def test_an_unknown_event_is_named() -> None:
    body = b'{"events":[{"eventId":7,"eventTimestamp":1.5,"eventType":"WorkflowExecutionSlept"}]}'
    for action in ("GetWorkflowExecutionHistory", "PollForDecisionTask"):
        with pytest.raises(events.UnknownEvent, match=r"event 7 .*WorkflowExecutionSlept"):
            shapes.decode(action, body)


def test_a_body_of_another_shape_is_refused() -> None:
    with pytest.raises(msgspec.ValidationError):
        shapes.decode("GetWorkflowExecutionHistory", b'{"events":3}')
    with pytest.raises(msgspec.DecodeError):
        shapes.decode("CountPendingActivityTasks", b"<html>")
