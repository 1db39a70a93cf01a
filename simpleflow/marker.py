"""Markers as ``Workflow.list_markers`` shows them."""

from __future__ import annotations

from typing import Any

import msgspec


class Marker(msgspec.Struct, frozen=True):
    """One marker of the history: its ``name``, and the ``details`` as they were recorded."""

    name: str
    details: Any = None
