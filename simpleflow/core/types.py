"""Types as the coordinator registers them."""

from __future__ import annotations

from typing import Literal

import msgspec


class RegisteredType(msgspec.Struct, frozen=True, kw_only=True):
    """One activity type or workflow type."""

    kind: Literal["activity", "workflow"]
    name: str
    version: str
