"""An activity whose name does not say where it is."""

from __future__ import annotations

from simpleflow import activity


@activity.with_attributes(name="a name of its own", version="1")
def named() -> str:
    return "named"
