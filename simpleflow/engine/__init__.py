"""Events in, decisions out.

contract.py    DecisionTask, Needs, Decided: what goes in and comes out
engine.py      Engine: decide, acknowledged, forget, query; cache.py what it keeps suspended
evaluation.py  one ``run()``, fed settlement by settlement
api.py         what a program asks and submits; combinators.py groups.py hooks.py failure_context.py
answer.py      from what the program wants to the answer; divergence.py when the history says something else;
               declined.py when nobody here can decide
history/       the history folded, event by event
program/       run.py the state of one evaluation; futures, strands and scopes: where code runs and blocks
tasks/         what is submitted: activities, children, timers, signals, markers; outbox.py until it is sent
"""

from __future__ import annotations

from .contract import Decided, DecisionTask, LocalActivity, LocalResult, Needs
from .declined import decline, lost
from .engine import Engine

__all__ = ["Decided", "DecisionTask", "Engine", "LocalActivity", "LocalResult", "Needs", "decline", "lost"]
