"""Events in, decisions out.

contract.py   DecisionTask, Needs, Decided: what goes in and comes out
"""

from __future__ import annotations

from .contract import Decided, DecisionTask, LocalActivity, LocalResult, Needs

__all__ = ["Decided", "DecisionTask", "LocalActivity", "LocalResult", "Needs"]
