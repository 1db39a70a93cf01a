"""Call again after a delay, under 0.36's names."""

from __future__ import annotations

import functools
import logging
import random
import time
from collections.abc import Callable, Iterable
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")
Delay = Callable[[int], float]
Errors = type[BaseException] | Iterable[type[BaseException]]


def constant(value: float) -> Delay:
    """Return a delay of so many seconds, whatever the attempt."""
    return lambda attempt: value


def exponential(value: float) -> Delay:
    """Return a random delay between nothing and ``value`` raised to the attempt's number, in seconds."""
    return lambda attempt: random.random() * value**attempt  # noqa: S311 - spreads callers, protects nothing


def _tuple(errors: Errors | None) -> tuple[type[BaseException], ...]:
    if errors is None:
        return ()
    return (errors,) if isinstance(errors, type) else tuple(errors)


def with_delay(
    nb_times: int = 1,
    delay: Delay | None = None,
    on_exceptions: Errors = Exception,
    except_on: Errors | None = None,
    log_with: Callable[[str], object] | None = None,
) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Decorate a function: call it up to ``1 + nb_times`` times while it raises ``on_exceptions``.

    Exceptions of ``except_on`` are raised at once, and so is the last one. ``delay`` gives the seconds before the
    next attempt from the number of attempts made (default: one second).
    """
    wait = delay or constant(1)
    log = log_with or logging.getLogger(__name__).info
    retried, raised = _tuple(on_exceptions), _tuple(except_on)

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        @functools.wraps(function)
        def call(*args: P.args, **kwargs: P.kwargs) -> R:
            attempt = 0
            while True:
                try:
                    return function(*args, **kwargs)
                except raised:
                    raise
                except retried as error:
                    if attempt >= nb_times:
                        raise
                    attempt += 1
                    seconds = wait(attempt)
                    log(f"error {error!r}: retry {attempt} of {nb_times} in {seconds:.1f} s")
                    time.sleep(seconds)

        return call

    return decorate
