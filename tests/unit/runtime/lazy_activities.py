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
