"""Forks servers that have imported everything already, so that fifty of them may be killed within a test.

Reads lines ``DATABASE`` from stdin and prints ``pid N``; each server then prints what ``server.start`` prints.
"""

from __future__ import annotations

import os
import signal
import sys

from simpleflow.server.process import commands, options, serve


def main() -> None:
    """Fork a server per line, until stdin ends."""
    assert serve.Running
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    for line in sys.stdin:
        pid = os.fork()
        if pid == 0:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            commands.start(options.Options(port=0, database=line.strip()), say=lambda text: print(text, flush=True))
            os._exit(0)
        print("pid", pid, flush=True)


if __name__ == "__main__":
    main()
