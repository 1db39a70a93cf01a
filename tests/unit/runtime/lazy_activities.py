"""An activity that loads modules of Python's own while it runs."""

from __future__ import annotations

import os


def loads() -> list[object]:
    import decimal
    import ssl

    found = [
        os.getpid(),
        decimal.getcontext().prec,
        ssl._create_default_https_context is ssl._create_unverified_context,
    ]
    decimal.getcontext().prec = 4
    return found


def logs() -> int:
    import lazy_library

    return len(lazy_library.logger.handlers)


def remembers() -> list[object]:
    """A large value that the task sent, and what its process remembered of earlier ones."""
    from simpleflow import format

    before = len(format.JUMBO_FIELDS_MEMORY_CACHE)
    format.encode("x" * 1000, 999)
    return [os.getpid(), before, len(format.JUMBO_FIELDS_MEMORY_CACHE)]
