"""The headers with which a worker's answer asks for the next task: an extension of the embedded service."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Final, Literal

import msgspec

from simpleflow.server.requests import errors, validation
from simpleflow.server.state import polls

#: characters of the name of an exchange
_CLAIM: Final = 128
#: what follows the name when an earlier attempt may have arrived
_AGAIN: Final = "; again"
#: what follows the name of a poll that came with an answer: it gets the next task before those that wait longer
_FIRST: Final = "; first"
#: answers of one request, and tasks that it may bring
_MOST: Final = 64
#: the actions whose acknowledgement may be the next task
ANSWERS: Final = frozenset({"RespondActivityTaskCanceled", "RespondActivityTaskCompleted", "RespondActivityTaskFailed"})


def then(wanted: bytes, claim: bytes | None) -> polls.Then:
    """Return what ``X-Simpleflow-Next`` and ``X-Simpleflow-Claim`` ask for. Raises Fault naming what is wrong."""
    name, again = name_of(claim or b"")
    if not 0 < len(name) <= _CLAIM or not name.isascii():
        raise errors.validation(f"X-Simpleflow-Claim must have 1 to {_CLAIM} ASCII characters")
    return polls.Then(_poll(wanted), name, again)


def name_of(given: bytes) -> tuple[str, bool]:
    """Return a name, and whether it is given once more because the first answer did not come."""
    name = given.decode("latin-1")
    return name.removesuffix(_AGAIN), name.endswith(_AGAIN)


def poll_of(given: bytes) -> tuple[str, bool, bool]:
    """Return a poll's name, whether it is given once more, and whether the poll is served first."""
    first = given.endswith(_FIRST.encode())
    return *name_of(given[: -len(_FIRST)] if first else given), first


class _Answer(msgspec.Struct, frozen=True, gc=False):
    action: Literal["RespondActivityTaskCanceled", "RespondActivityTaskCompleted", "RespondActivityTaskFailed"]
    request: dict[str, Any]


class _Next(msgspec.Struct, frozen=True, gc=False):
    poll: dict[str, Any]
    claim: Annotated[str, msgspec.Meta(min_length=1, max_length=_CLAIM, pattern=r"^[\x00-\x7f]*\Z")]
    again: bool = False
    most: Annotated[int, msgspec.Meta(ge=0, le=_MOST)] = 1
    #: names and versions of activity types
    quick: list[tuple[str, str]] = []


class _Several(msgspec.Struct, frozen=True, gc=False):
    answers: Annotated[list[_Answer], msgspec.Meta(max_length=_MOST)]
    next: _Next | None = None


_decode_several = msgspec.json.Decoder(_Several).decode


def several(body: bytes) -> tuple[list[tuple[str, dict[str, Any]]], polls.Then | None]:
    """Return the answers of a RespondActivityTasks, and what it asks for. Raises Fault naming what is wrong."""
    try:
        found = _decode_several(body)
    except msgspec.ValidationError as error:
        raise errors.validation(f"RespondActivityTasks: {error}") from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise errors.protocol("SerializationException", f"The body is not JSON: {error}") from error
    answers: list[tuple[str, dict[str, Any]]] = [(each.action, each.request) for each in found.answers]
    asked = found.next
    if asked is None:
        if not answers:
            raise errors.validation("RespondActivityTasks: `answers` is empty and `next` is missing: give one of them")
        return answers, None
    poll = validation.check("PollForActivityTask", asked.poll)
    return answers, polls.Then(poll, asked.claim, asked.again, asked.most, frozenset(asked.quick))


def answered(outcomes: Sequence[errors.Fault | None], tasks: Sequence[Mapping[str, Any]]) -> bytes:
    """Return the body of the answer to a RespondActivityTasks."""
    answers = [{} if each is None else msgspec.Raw(each.body()) for each in outcomes]
    return msgspec.json.encode({"answers": answers, "tasks": tasks})


@functools.lru_cache(maxsize=1024)
def _poll(wanted: bytes) -> Mapping[str, Any]:
    """The request of PollForActivityTask; a worker sends the same one with each of its answers."""
    try:
        request = msgspec.json.decode(wanted)
    except msgspec.DecodeError as error:
        raise errors.validation(f"X-Simpleflow-Next must be the JSON of a PollForActivityTask: {error}") from error
    if type(request) is not dict:
        raise errors.validation("X-Simpleflow-Next must be the JSON of a PollForActivityTask: an object")
    return validation.check("PollForActivityTask", request)
