"""``make demo-aws``: up, the main job, a spot notice, scale to zero, the alarm, down; on an emulated account."""

from __future__ import annotations

import sys
from pathlib import Path

from simpleflow.core import errors
from simpleflow.testing.rehearsal import play as rehearsals

CLUSTER = Path(__file__).with_name("cluster.yaml")
#: modules of the first and of the second run
FIRST, SECOND = 120, 12


def main() -> int:
    options = rehearsals.Options(
        workflow="stdlib-report",
        keywords={"limit": FIRST, "ranges": 2},
        second={"limit": SECOND, "ranges": 1},
    )
    print("An AWS account is played on loopback: no account, no network, no root. Machines are local processes.\n")
    try:
        report = rehearsals.rehearse(CLUSTER, options, say=lambda line: print(line, flush=True))
    except KeyboardInterrupt:
        print("\ninterrupted; nothing is left behind", file=sys.stderr)
        return 130
    except errors.SimpleflowError as error:
        print(f"\nthe rehearsal failed: {error}", file=sys.stderr)
        return 1
    print(f"\n{report.text()}")
    return 0 if not report.left and not report.excess else 1


if __name__ == "__main__":
    sys.exit(main())
