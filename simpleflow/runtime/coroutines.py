"""Activities that are coroutines: each runs on an event loop of its own, in the process of the task."""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import threading
from collections.abc import Coroutine
from typing import Any


def finished(value: Any) -> Any:
    """Return what an activity returned; of ``async def`` what it returns when it has run."""
    if not inspect.iscoroutine(value):
        return value
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(value)
    return _elsewhere(value)


def _elsewhere(value: Coroutine[Any, Any, Any]) -> Any:
    """Run it on a thread of its own: this one is inside a loop already (an asynchronous test that runs a workflow)."""
    ended: list[Any] = []
    raised: list[BaseException] = []

    def run() -> None:
        try:
            ended.append(asyncio.run(value))
        except BaseException as error:
            raised.append(error)

    thread = threading.Thread(target=contextvars.copy_context().run, args=(run,), name="async-activity")
    thread.start()
    thread.join()
    if raised:
        raise raised[0]
    return ended[0]
