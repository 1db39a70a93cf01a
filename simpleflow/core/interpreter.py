"""Commands that run a module of this package in another process."""

from __future__ import annotations

import os
import sys

from . import boot


def command(module: str, *arguments: str) -> list[str]:
    """Return the command that runs a module of this very package in a fresh interpreter."""
    return [sys.executable, "-P", os.path.abspath(boot.__file__), module, *arguments]
