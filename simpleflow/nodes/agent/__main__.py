"""``python -m simpleflow.nodes.agent --setup FILE``: run the agent of this machine."""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sys
from pathlib import Path

import msgspec

from simpleflow.core import clock, documents
from simpleflow.nodes import stores
from simpleflow.nodes.agent import Agent
from simpleflow.process import lock_lifeline

from . import metadata_client


def main(arguments: list[str]) -> int:
    """Run the agent; 0 means that the node is drained and may be powered off."""
    parser = argparse.ArgumentParser(prog="sfnodes agent", description="Keep the workers of this node.")
    parser.add_argument("--setup", required=True, type=Path, help="the node's setup, JSON (written at launch)")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    setup = msgspec.json.decode(options.setup.read_bytes(), type=documents.NodeSetup)
    if setup.lifeline:
        lock_lifeline.watch(setup.lifeline)
    metadata = metadata_client.Metadata(os.environ)
    if setup.cluster_file:
        from simpleflow.nodes.agent import deciders  # the manager's half, which workers' machines need not load

        machine = metadata.instance_id()
        return deciders.DeciderAgent(setup, options.setup, os.environ, clock.RealClock(), machine).run()
    agent = Agent(setup, metadata, stores.open_store(setup.store), os.environ, clock.RealClock())
    signal.signal(signal.SIGTERM, agent.end_soon)
    signal.signal(signal.SIGINT, agent.end_soon)
    return agent.run()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
