"""``python -m simpleflow.nodes.cluster.supervise CLUSTER [--tie FD]``: the process that `up` leaves behind."""

from __future__ import annotations

import argparse
import logging
import os
import sys

from simpleflow.nodes import config

from . import supervisor as supervisors


def main(arguments: list[str]) -> int:
    """Run the supervisor of one cluster."""
    parser = argparse.ArgumentParser(prog="sfnodes supervise", description="Keep the manager of a cluster.")
    parser.add_argument("cluster", help="the cluster file")
    parser.add_argument("--tie", type=int, help="end when this file descriptor (a pipe) is closed at its other end")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    try:
        supervisor = supervisors.Supervisor(config.load(options.cluster), os.environ, os.getcwd(), options.tie)
    except BlockingIOError:
        sys.stderr.write(f"{options.cluster}: the cluster is already up; `sfnodes status` shows it\n")
        return supervisors.ALREADY_UP
    return supervisor.run()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
