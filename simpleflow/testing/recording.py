"""Where environments announce themselves while pytest runs a test: its plugin replays their histories at the end."""

from __future__ import annotations

from typing import Protocol


class Recorded(Protocol):
    """What the plugin asks of an environment after the test."""

    def verify(self) -> None:
        """Replay every execution so far; a difference between history and code raises."""


#: environments made by the running test; None while nobody looks
watched: list[Recorded] | None = None
