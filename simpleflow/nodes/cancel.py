"""The end of machines that still boot and are not wanted any more, as pure steps on control.json.

A manager marks the row (``mark``), then reads the machine's document; only if there is none does it open a termination
(``end``), which replaces control.json too. The machine does the reverse before its first poll (boot.py): so a machine
without a document, read after its mark was stored, sees the mark before it polls, and has nothing that could be lost
(docs/design/control.md, part 3).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from simpleflow.core import documents

from . import control as controls

Control = documents.Control


def mark(control: Control, reasons: Mapping[str, str], now: float) -> Control:
    """Mark machines, each with its reason, as for a drain; a row that has a mark already stays as it is.

    A launch whose machines are not known yet has no row: nothing of it can be cancelled. A machine that was adopted
    (no order) only drains: its document may have been deleted before it had a row.
    """
    fresh = {row.instance for row in control.rows if row.instance in reasons and row.drain is None and row.order}
    told = {name: f"cancelled while it booted: {reason}" for name, reason in reasons.items()}
    return _changed(controls.drain_all(control, told, now), fresh, cancelled=True)


def waiting(control: Control) -> dict[str, int]:
    """The cancelled machines that nobody ends yet, each with the generation of its mark."""
    ending = {intent.instance for intent in control.intents if intent.kind == "terminate"}
    return {
        row.instance: row.drain
        for row in control.rows
        if row.cancelled and row.drain is not None and row.instance not in ending
    }


def end(control: Control, absent: Mapping[str, int], creator: str, not_after: float) -> Control:
    """Open the terminations of cancelled machines; from here on nobody takes their marks back (control.undrain).

    ``absent``: machines without a document, as it was read after the mark of this generation was stored. Where the row
    has another generation, the mark was taken back meanwhile, and the machine may have begun to work.
    """
    open_ones = waiting(control)
    ending = {
        row.instance: row.reason
        for row in control.rows
        if row.instance in absent and open_ones.get(row.instance) == absent[row.instance]
    }
    return controls.terminate(control, ending, creator, not_after)


def never_ran(control: Control, instances: Iterable[str]) -> Control:
    """Note that machines were ended while their provider still prepared them: they are not billed."""
    return _changed(control, frozenset(instances), never_ran=True)


def _changed(control: Control, instances: set[str] | frozenset[str], **changes: object) -> Control:
    if not instances:
        return control
    rows = tuple(msgspec.structs.replace(row, **changes) if row.instance in instances else row for row in control.rows)
    return msgspec.structs.replace(control, rows=rows)
