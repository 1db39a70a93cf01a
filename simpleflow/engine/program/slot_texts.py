"""What enters the place of a future in arguments."""

from __future__ import annotations

import msgspec

from simpleflow.core import payloads
from simpleflow.engine.history import identity

RESERVED = "$simpleflow."
REFERENCE = "$simpleflow.ref"
_raw = msgspec.json.Decoder(msgspec.Raw)


def of_result(text: str | None, coder: payloads.Payloads) -> str:
    """Return what enters a slot for a result text as the history holds it."""
    if text is None or text == "":
        return "null"
    if text.startswith(identity.POINTER):
        return f'{{"{REFERENCE}":{coder.encode(text)}}}'
    try:
        _raw.decode(text)
    except msgspec.DecodeError:
        return coder.encode(text)
    return text
