"""How values reach and leave the engine: the Protocol that ``data`` implements."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol


class Payloads(Protocol):
    """Objects to JSON text and back. Pure: no call may block, read a clock or touch the network.

    ``encode`` raises TypeError naming the path of the offending value (``args[0].items[3]``) when a value cannot be
    serialised. ``decode`` returns what the program sees; text that is not JSON comes back as the text itself.
    """

    def encode(self, value: Any) -> str:
        """Compact JSON text, the same for equal values whatever PYTHONHASHSEED is."""

    def decode(self, text: str) -> Any: ...

    def arguments(
        self, target: Any, args: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> tuple[Sequence[Any], Mapping[str, Any]]:
        """Return decoded arguments as the type hints of what is called with them say."""

    def result_hint(self, target: Any) -> Any:
        """Return the hint of what a callable returns; None where a decoded value is it already."""

    def convert(self, value: Any, hint: Any, where: str) -> Any:
        """Return a decoded value as a hint says; the value itself when it does not fit. ``where`` names it."""
