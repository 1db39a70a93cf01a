"""Replays a saved history with every socket refused and no environment."""

from __future__ import annotations

import socket
import sys
from pathlib import Path
from typing import Any


def refuse(*args: Any, **kwargs: Any) -> Any:
    raise AssertionError(f"a replay opened a socket: {args}")


socket.socket.connect = refuse  # type: ignore[method-assign]
socket.getaddrinfo = refuse  # type: ignore[assignment]

sys.path.insert(0, str(Path(__file__).resolve().parent))

import recorded_workflows  # noqa: E402  # after sockets are refused

from simpleflow.testing.replaying import replay  # noqa: E402

SAVED = Path(__file__).resolve().parents[2] / "histories" / "swf" / "chain_send_result.json"

outcome = replay.replay(recorded_workflows.ChainTest, replay.read(SAVED).events)
assert outcome.divergence is None, outcome.divergence
assert [len(point.decisions) for point in outcome.points] == [1, 1, 1], outcome
assert "boto3" not in sys.modules
assert "botocore" not in sys.modules
print("replayed, nothing opened")
