"""The headers with which a worker's answer asks for the next task: an extension of the embedded service."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from simpleflow.server.requests import errors, validation
from simpleflow.server.state import polls

#: characters of the name of an exchange
_CLAIM: Final = 128
#: what follows the name when an earlier attempt may have arrived
_AGAIN: Final = "; again"


def then(wanted: bytes, claim: bytes | None) -> polls.Then:
    """Return what ``X-Simpleflow-Next`` and ``X-Simpleflow-Claim`` ask for. Raises Fault naming what is wrong."""
    name = (claim or b"").decode("latin-1")
    again = name.endswith(_AGAIN)
    name = name.removesuffix(_AGAIN)
    if not 0 < len(name) <= _CLAIM or not name.isascii():
        raise errors.validation(f"X-Simpleflow-Claim must have 1 to {_CLAIM} ASCII characters")
    return polls.Then(_poll(wanted), name, again)


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
