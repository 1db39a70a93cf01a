"""``make demo``: the main job on a cluster of this machine that starts, and ends, with no node."""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

CLUSTER = Path(__file__).with_name("cluster.yaml")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m examples.stdlib_report", description=__doc__)
    parser.add_argument("--limit", type=_count, metavar="N", help="analyse so many modules only (default: all)")
    parser.add_argument("--output", type=Path, default=Path("demo-report"), metavar="DIR", help="where the page goes")
    return parser.parse_args()


def _count(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{number} is below 1")
    return number


def environment(folder: Path) -> Mapping[str, str]:
    """Return this environment without anything that could lead a process of the demo to an account or a service."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("AWS_", "SWF_", "SIMPLEFLOW_"))}
    root = str(Path(__file__).resolve().parents[2])
    return {
        **kept,
        "SIMPLEFLOW_RUNTIME_DIR": str(folder / "run"),
        "SIMPLEFLOW_DATA_DIR": str(folder / "data"),
        "PYTHONPATH": os.pathsep.join(filter(None, (root, kept.get("PYTHONPATH")))),
    }


def main() -> int:
    given = arguments()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # leaves as Ctrl-C does: with nothing behind it
    # A folder of its own: a socket's path must be short, and the demo never meets the user's own executions.
    folder = Path(tempfile.mkdtemp(prefix="simpleflow-demo-"))
    try:
        return run(folder, given)
    except KeyboardInterrupt:
        print("\ninterrupted; nothing is left behind", file=sys.stderr)
        return 130
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def run(folder: Path, given: argparse.Namespace) -> int:
    from simpleflow.core import errors  # inside, so that a Ctrl-C while they load ends as any other does

    from . import demo

    began = time.monotonic()
    try:  # before anything runs: a page that cannot be written is known now, not at the end
        given.output.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=given.output):
            pass
    except OSError as error:
        print(f"the page cannot be written to {given.output} ({error.strerror}): choose a folder with --output DIR "
              "(python -m examples.stdlib_report --help)", file=sys.stderr)  # fmt: skip
        return 1
    try:
        shown = demo.Demo(CLUSTER, environment(folder), limit=given.limit).run()
        page = demo.write(shown, given.output)
    except errors.SimpleflowError as error:
        print(f"\nthe demo failed: {error}", file=sys.stderr)
        return 1
    print(f"\n{time.monotonic() - began:.0f} s in all. The page: {page}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
