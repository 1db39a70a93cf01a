"""Polls whose task comes ahead of its last byte, over a socket of this test."""

from __future__ import annotations

import contextlib
import json
import socket
from typing import Any

import pytest
from test_http_together import TASK, Other, aside, other, requests, transport, whole

from simpleflow.swf import errors
from simpleflow.swf.transport import base

__all__ = ["other", "transport"]
AHEAD = b"x-simpleflow-ahead: 1\r\n"
REQUEST = {"domain": "d", "taskList": {"name": "l"}}
SMALL = json.dumps({**json.loads(TASK), "input": "x"}).encode()


class Told:
    """What a poll was told ahead, and whether it had returned."""

    def __init__(self) -> None:
        self.tasks: list[Any] = []
        self.over = False

    def __call__(self, task: Any) -> None:
        assert not self.over
        self.tasks.append(task)


def poll(transport: base.Transport, told: Told, how: str) -> Any:
    if how == "alone":
        task = transport.call("PollForActivityTask", REQUEST, poll_id="p", ahead=told)
    else:
        wanted = base.Poll("PollForActivityTask", REQUEST, "p; first", told)
        receive = transport.answer_and_poll("RespondActivityTaskCompleted", {"taskToken": "t1"}, wanted)
        assert receive is not None
        task = receive()
    told.over = True
    return task


def heads(taken: socket.socket, how: str) -> list[bytes]:
    found = [head for head, _ in requests(taken, 1 if how == "alone" else 2)]
    if how != "alone":
        taken.sendall(whole(b""))
    return found


@pytest.mark.parametrize("how", ["alone", "with an answer"])
def test_a_task_is_told_ahead_and_returned_with_its_last_byte(
    transport: base.Transport, other: Other, how: str
) -> None:
    told, came = Told(), list[bytes]()

    def serve() -> None:
        with other.take() as taken:
            came.extend(heads(taken, how))
            answer = whole(TASK + b"\n", more=AHEAD)
            taken.sendall(answer[:-1])
            while not told.tasks:
                pass
            taken.sendall(answer[-1:])

    thread = aside(serve)
    task = poll(transport, told, how)
    thread.join(30)
    assert told.tasks == [task]
    assert told.tasks[0] is task
    assert (task.task_token, len(task.input)) == ("t2", 200_000)
    assert b"X-Simpleflow-Ahead: 1" in came[-1]
    assert how == "alone" or b"X-Simpleflow-Ahead" not in came[0]


@pytest.mark.parametrize("how", ["alone", "with an answer"])
def test_a_task_whose_last_byte_does_not_come_is_none(transport: base.Transport, other: Other, how: str) -> None:
    told = Told()

    def serve() -> None:
        with other.take() as taken:
            heads(taken, how)
            taken.sendall(whole(TASK + b"\n", more=AHEAD)[:-1])
            while not told.tasks:
                pass

    thread = aside(serve)
    with pytest.raises(errors.TransportError):
        poll(transport, told, how)
    thread.join(30)
    assert len(told.tasks) == 1


@pytest.mark.parametrize("more", [AHEAD, b""], ids=["ahead", "as ever"])
def test_wherever_an_answer_is_cut_the_task_is_the_same(transport: base.Transport, other: Other, more: bytes) -> None:
    answer = whole(SMALL + b"\n", more=more)
    cuts = [*range(0, len(answer), 7), *range(len(answer) - 9, len(answer))]

    def serve() -> None:
        with contextlib.suppress(OSError), other.take() as taken:
            for cut in cuts:
                requests(taken, 1)
                taken.sendall(answer[:cut])
                taken.sendall(answer[cut:])

    thread = aside(serve)
    for _ in cuts:
        told = Told()
        assert poll(transport, told, "alone").task_token == "t2"
        assert len(told.tasks) <= (1 if more else 0)
    thread.join(30)


def test_an_empty_poll_tells_nothing(transport: base.Transport, other: Other) -> None:
    told = Told()

    def serve() -> None:
        with other.take() as taken:
            requests(taken, 1)
            taken.sendall(whole(b'{"taskToken":"","startedEventId":0}'))

    thread = aside(serve)
    assert poll(transport, told, "alone").task_token == ""
    thread.join(30)
    assert told.tasks == []


def test_what_is_no_task_is_refused_ahead(transport: base.Transport, other: Other) -> None:
    told = Told()

    def serve() -> None:
        with other.take() as taken:
            requests(taken, 1)
            taken.sendall(whole(b'{"no":"task"}\n', more=AHEAD)[:-1])
            taken.recv(1)

    thread = aside(serve)
    with pytest.raises(errors.TransportError):
        poll(transport, told, "alone")
    thread.join(30)
    assert told.tasks == []
