"""The workflow of this folder, in virtual time."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from simpleflow import settings
from simpleflow.client import Client
from simpleflow.core import interceptors
from simpleflow.testing.environment import Environment, Run

sys.path.insert(0, str(Path(__file__).parent))

import observed_flows as flows


@pytest.fixture
def observe(monkeypatch: pytest.MonkeyPatch) -> flows.Observe:
    """Run the workflow to its end with an interceptor; return the run."""

    def run(mounted: interceptors.Interceptor, path: str | None = None) -> Run:
        with Environment(mounted=[mounted]) as place:
            if path is not None:
                monkeypatch.setitem(settings._load(), "SIMPLEFLOW_INTERCEPTORS", path)
            client: Any = Client(place.connection)
            begun = client.start(flows.Observed)
            place._place.serve("decisions")
            place._workflows.append(flows.Observed)
            place.settle()
            assert client.query(begun, "status") == "waits"
            client.signal(begun, "go")
            assert place.wait(Run(workflow_id=begun.workflow_id, run_id=begun.run_id)) == 3
            return Run(workflow_id=begun.workflow_id, run_id=begun.run_id)

    return run
