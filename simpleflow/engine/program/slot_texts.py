"""The text that replaces a future in arguments."""

from __future__ import annotations

import msgspec

from simpleflow.core import payloads
from simpleflow.engine.history import identity

RESERVED = "$simpleflow."
REFERENCE = "$simpleflow.ref"
_reference = msgspec.json.Decoder(dict[str, str])
_raw = msgspec.json.Decoder(msgspec.Raw)


def of_result(text: str | None, coder: payloads.Payloads) -> str:
    """Return the text that replaces a future, from the text of its result in the history."""
    if text is None or text == "":
        return "null"
    if text.startswith(identity.POINTER):
        return f'{{"{REFERENCE}":{coder.encode(text)}}}'
    try:
        _raw.decode(text)
    except msgspec.DecodeError:
        return coder.encode(text)
    return text


def result_of(slot: str) -> str:
    """Return the result text from which ``of_result`` made this one: a pointer for a reference."""
    if slot.startswith(f'{{"{REFERENCE}":'):
        return _reference.decode(slot)[REFERENCE]
    return slot
