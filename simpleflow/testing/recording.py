"""Where environments announce themselves while pytest runs a test: its plugin replays their histories at the end."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .environment import Environment

#: environments made by the running test; None while nobody looks
watched: list[Environment] | None = None
