"""Events in, decisions out.

contract.py    DecisionTask, Needs, Decided: what goes in and comes out
engine.py      Engine: decide, acknowledged, forget, query; cache.py what it keeps suspended
evaluation.py  one ``run()``: fed settlement by settlement; strands.py where its code runs and blocks
ledger.py      the history folded, event by event; records.py what it says of each task
submitting.py  what a program submits: calls.py children.py timers.py signals.py markers.py local.py
identity.py    what a task is recognised by; slots.py arguments with futures in them
outbox.py closing.py divergence.py   from what the program wants to the answer
"""

from __future__ import annotations

from .contract import Decided, DecisionTask, LocalActivity, LocalResult, Needs
from .engine import Engine

__all__ = ["Decided", "DecisionTask", "Engine", "LocalActivity", "LocalResult", "Needs"]
