"""A worker of a fake service, and what its tests ask of it."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fake_swf import FakeSwf

from simpleflow.process import Stop
from simpleflow.runtime import frames, worker

Start = Callable[..., worker.Worker]


def eventually(condition: Callable[[], object], seconds: float = 120.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the condition did not become true in time"
        time.sleep(0.02)


@pytest.fixture
def swf() -> FakeSwf:
    return FakeSwf()


@pytest.fixture
def start(swf: FakeSwf, monkeypatch: pytest.MonkeyPatch) -> Iterator[Start]:
    monkeypatch.setenv("PYTHONPATH", f"{Path(__file__).parent}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")
    running: list[tuple[Stop, threading.Thread]] = []

    def begin(**options: Any) -> worker.Worker:
        stop, time, mounted = Stop(), options.pop("time", None), options.pop("mounted", ())
        defaults: dict[str, Any] = {"domain": "d", "task_list": "tl", "identity": "{}", "heartbeat": 0.2}
        setup = frames.Setup(grace=0.5, modules=options.pop("modules", ()))
        made = worker.Worker(
            swf, worker.Options(**{**defaults, **options}, setup=setup), stop=stop, time=time, mounted=mounted
        )
        thread = threading.Thread(target=made.run)
        thread.start()
        running.append((stop, thread))
        return made

    yield begin
    for stop, thread in running:
        stop.request(Stop.HURRY)
        thread.join(30)
        assert not thread.is_alive()


def answer(swf: FakeSwf) -> tuple[str, dict[str, Any]]:
    return swf.answers.get(timeout=20)


def details(request: dict[str, Any]) -> dict[str, Any]:
    found = json.loads(request["details"])
    assert set(found) == {"error", "error_type", "message", "traceback"}
    return found
