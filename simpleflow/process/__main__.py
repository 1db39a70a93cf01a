"""Call ``MODULE:FUNCTION`` with a JSON list of arguments: how a supervisor's child runs a function."""

from __future__ import annotations

import importlib
import os
import signal
import sys
from collections.abc import Sequence
from typing import Any

import msgspec

from . import lifeline, pausing, signals


def main(argv: Sequence[str]) -> None:
    name, arguments = argv
    module, _, qualname = name.partition(":")
    signals.reset_signal_handlers()
    pausing.install()
    lifeline.watch(lambda: os.kill(os.getpid(), signal.SIGTERM))
    sys.path.insert(0, os.getcwd())
    payload: Any = importlib.import_module(module)
    for part in qualname.split("."):
        payload = getattr(payload, part)
    payload(*msgspec.json.decode(arguments))


if __name__ == "__main__":
    main(sys.argv[1:])
