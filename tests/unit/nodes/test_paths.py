"""A user's folders are found in one place: clusters, the embedded service and large values agree."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from simpleflow.data import jumbo
from simpleflow.nodes import paths
from simpleflow.server.process import places

from . import fakes


@pytest.mark.parametrize(
    "environment",
    [
        {"SIMPLEFLOW_DATA_DIR": "/own/data", "SIMPLEFLOW_RUNTIME_DIR": "/own/run"},
        {"XDG_DATA_HOME": "/xdg/data", "XDG_RUNTIME_DIR": "/xdg/run"},
        {},
    ],
    ids=["own", "XDG", "none"],
)
def test_clusters_the_service_and_large_values_lie_in_the_same_folders(
    environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("SIMPLEFLOW_DATA_DIR", "SIMPLEFLOW_RUNTIME_DIR", "XDG_DATA_HOME", "XDG_RUNTIME_DIR"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    where, service = paths.ClusterPaths(fakes.cluster(), environment), places.Places(environment)
    assert where.folder == service.data / "clusters" / "demo"
    assert where.endpoint == service.endpoint
    data_dir = environment.get("SIMPLEFLOW_DATA_DIR")
    assert jumbo.location(None, data_dir, where.endpoint) == f"file://{service.data}/blobs"


def test_a_user_without_a_home_is_told_what_to_set() -> None:
    program = (
        "import os; os.environ.pop('HOME', None)\n"
        "import pwd; pwd.getpwuid = lambda uid: (_ for _ in ()).throw(KeyError(uid))\n"
        "from simpleflow.core import errors, folders\n"
        "try: folders.data({})\n"
        "except errors.UsageError as error: print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=Path.cwd(), check=True)
    assert "set SIMPLEFLOW_DATA_DIR to a folder of your own" in done.stdout
