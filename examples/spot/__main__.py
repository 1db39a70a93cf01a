"""``make demo-spot``: a spot notice, a boot that fails, a budget that is used up, and no machine at the end."""

from __future__ import annotations

import shutil
import signal
import sys
import tempfile
from pathlib import Path

from examples.stdlib_report.__main__ import environment


def main() -> int:
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # leaves as Ctrl-C does: with nothing behind it
    # A folder of its own: a socket's path must be short, and the demo never meets the user's own executions.
    folder = Path(tempfile.mkdtemp(prefix="simpleflow-spot-"))
    try:
        from simpleflow.core import errors

        from . import demo

        try:
            demo.Demo(folder, environment(folder)).run()
        except errors.SimpleflowError as error:
            print(f"\nthe demo failed: {error}", file=sys.stderr)
            return 1
        return 0
    except KeyboardInterrupt:
        print("\ninterrupted; nothing is left behind", file=sys.stderr)
        return 130
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
