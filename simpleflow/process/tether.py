"""Runs a command that ends when the process that began it dies: ``python tether.py PARENT SIGNAL COMMAND...``.

Run as a file, without importing the package: it costs a few milliseconds. The kernel delivers the signal when the
parent's thread ends (prctl(2), PR_SET_PDEATHSIG); the setting survives exec. Where prctl is missing (other systems than
Linux) the command runs untethered and ends with its cluster's supervisor, which ends what it began.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def command(*arguments: str, number: signal.Signals = signal.SIGTERM) -> list[str]:
    """The argument vector that runs ``arguments`` tethered to the calling process.

    Start it from a thread that lives as long as the process does: the main thread.
    """
    return [sys.executable, "-I", "-S", __file__, str(os.getpid()), str(int(number)), *arguments]


def main(arguments: list[str]) -> None:
    """Tie this process to its parent and become the command."""
    parent, number = int(arguments[0]), int(arguments[1])
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, number, 0, 0, 0)
    if os.getppid() != parent:
        sys.exit(128 + number)
    os.execvp(arguments[2], arguments[2:])  # noqa: S606  # the argument vector is ours, and no shell is wanted


if __name__ == "__main__":
    main(sys.argv[1:])
