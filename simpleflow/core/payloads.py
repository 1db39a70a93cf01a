"""How values reach and leave the engine: the Protocol that ``data`` implements."""

from __future__ import annotations

from typing import Any, Protocol


class Payloads(Protocol):
    """Objects to JSON text and back. Pure: no call may block, read a clock or touch the network.

    ``encode`` raises TypeError naming the path of the offending value (``args[0].items[3]``) when a value cannot be
    serialised. ``decode`` returns what the program sees; text that is not JSON comes back as the text itself.
    """

    def encode(self, value: Any) -> str:
        """Compact JSON text, the same for equal values whatever PYTHONHASHSEED is."""

    def decode(self, text: str) -> Any: ...
