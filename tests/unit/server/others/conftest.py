"""Where other people's clients are installed, and the server that they are pointed at."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import botocore.config
import pytest
from conformance import process

_HERE = Path(__file__).resolve().parent
_PATIENCE = 300


class Served:
    """A server, and the environment that points any AWS client at it."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.swf: Any = boto3.session.Session().client(
            "swf",
            endpoint_url=url,
            region_name="us-east-1",
            aws_access_key_id="any",
            aws_secret_access_key="any",
            config=botocore.config.Config(read_timeout=75),
        )

    def environment(self, **more: str) -> dict[str, str]:
        """Return an environment without anything of this project's or this virtual environment's."""
        ours = ("SIMPLEFLOW_", "PYTHON", "VIRTUAL_ENV", "AWS_", "SWF_")
        kept = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
        keys = {"AWS_ACCESS_KEY_ID": "any", "AWS_SECRET_ACCESS_KEY": "any", "AWS_DEFAULT_REGION": "us-east-1"}
        return {**kept, **keys, "AWS_REGION": "us-east-1", "AWS_ENDPOINT_URL_SWF": self.url, **more}

    def closed(self, domain: str, workflow_id: str, patience: float) -> dict[str, Any]:
        """Wait until an execution is closed; return what is listed of it."""
        limit = time.monotonic() + patience
        while time.monotonic() < limit:
            infos = self.swf.list_closed_workflow_executions(
                domain=domain, startTimeFilter={"oldestDate": 0}, executionFilter={"workflowId": workflow_id}
            )["executionInfos"]
            if infos:
                found: dict[str, Any] = infos[0]
                return found
            time.sleep(0.2)
        raise AssertionError(f"{workflow_id} did not end within {patience} s")

    def history(self, domain: str, execution: dict[str, str]) -> list[dict[str, Any]]:
        answer = self.swf.get_workflow_execution_history(domain=domain, execution=execution)
        found: list[dict[str, Any]] = answer["events"]
        return found


@pytest.fixture
def served() -> Iterator[Served]:
    with process.running() as server:
        yield Served(server.url)


def _run(*command: str, where: Path) -> str:
    """Run an installer; return why it failed, or ''."""
    try:
        done = subprocess.run(command, cwd=where, capture_output=True, text=True, timeout=_PATIENCE, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    return "" if done.returncode == 0 else (done.stderr.strip().splitlines() or ["no message"])[-1]


Install = Callable[..., Path]


@pytest.fixture(scope="session")
def folder(request: pytest.FixtureRequest) -> Path:
    """A folder that lasts from run to run, so that nothing is installed twice."""
    assert request.config.cache is not None
    return Path(request.config.cache.mkdir("other-clients"))


@pytest.fixture(scope="session")
def virtual_environment(folder: Path) -> Install:
    """Make a virtual environment with these requirements; skips where they cannot be had."""

    def make(name: str, *requirements: str) -> Path:
        where = folder / name
        if not (where / "installed").exists():
            shutil.rmtree(where, ignore_errors=True)
            why = _run(sys.executable, "-m", "venv", str(where), where=folder)
            why = why or _run(str(where / "bin" / "pip"), "install", "--quiet", *requirements, where=folder)
            if why:
                pytest.skip(f"{' '.join(requirements)} cannot be installed: {why}")
            (where / "installed").touch()
        return where / "bin"

    return make


@pytest.fixture(scope="session")
def node_packages(folder: Path) -> Install:
    """Install packages from npm; skips where node or they cannot be had."""

    def make(name: str, *packages: str) -> Path:
        if shutil.which("node") is None or shutil.which("npm") is None:
            pytest.skip("node and npm are not installed")
        where = folder / name
        if not (where / "installed").exists():
            shutil.rmtree(where, ignore_errors=True)
            where.mkdir()
            (where / "package.json").write_text(json.dumps({"name": "others", "private": True}))
            why = _run("npm", "install", "--no-audit", "--no-fund", *packages, where=where)
            if why:
                pytest.skip(f"{' '.join(packages)} cannot be installed: {why}")
            (where / "installed").touch()
        return where

    return make


@pytest.fixture(scope="session")
def here() -> Path:
    """Where the programs of these tests lie."""
    return _HERE
