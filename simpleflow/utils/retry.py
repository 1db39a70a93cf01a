"""Call again after a delay, under 0.36's names."""

from __future__ import annotations

import functools
import logging
import random
import time
from collections.abc import Callable, Iterable
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")
Delay = Callable[[int], float]
Errors = type[BaseException] | Iterable[type[BaseException]]


def constant(value: float) -> Callable[..., float]:
    """Return a delay of so many seconds, whatever the attempt."""
    return lambda *args, **kwargs: value


def exponential(value: int) -> float:
    """Return a random number of seconds, at least one, for so many attempts made: ``delay=exponential``."""
    return 1.0 + random.random() * (1 << value)  # noqa: S311 - spreads callers, protects nothing


def _tuple(errors: Errors | None) -> tuple[type[BaseException], ...]:
    if errors is None:
        return ()
    return (errors,) if isinstance(errors, type) else tuple(errors)


def with_delay(
    nb_times: int = 1,
    delay: Delay | None = None,
    on_exceptions: Errors = Exception,
    except_on: Errors | None = None,
    log_with: Callable[..., Any] | None = None,
) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Decorate a function: call it up to ``nb_times`` times while it raises ``on_exceptions``, with a delay after each.

    Exceptions of ``except_on`` are raised at once, the last one after its delay. ``delay`` gives seconds from the
    number of attempts made before (default: one second). ``log_with`` is called as a logger's method is.
    """
    wait: Delay = delay or constant(1)
    log = log_with or logging.getLogger(__name__).info
    retried, raised = _tuple(on_exceptions), _tuple(except_on)

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        @functools.wraps(function)
        def call(*args: P.args, **kwargs: P.kwargs) -> R:
            attempts = 0
            while True:
                try:
                    return function(*args, **kwargs)
                except raised:
                    raise
                except retried as error:
                    seconds = wait(attempts)
                    log('error "%r": retrying in %.2f seconds', error, seconds)
                    time.sleep(seconds)
                    attempts += 1
                    if attempts >= nb_times:
                        raise

        return call

    return decorate
