"""simpleflow 0.36 from PyPI, unchanged: its own deciders, workers and commands."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from . import conftest as others

pytestmark = [pytest.mark.slow, pytest.mark.needs_processes, pytest.mark.timeout(900)]

_DOMAIN = "domain36"
#: seconds; a call that waits behind the long poll of another process takes 60
_BEFORE_A_POLL_ENDS = 55
_RESULT = {"chain": [2, 4], "child": 42, "failed": True, "group": [10, 12], "sum": 15}


class Old:
    """The old package, its commands, and the server that they talk to."""

    def __init__(self, served: others.Served, bin_folder: Path, where: Path, log: Path) -> None:
        self._served = served
        self._command = str(bin_folder / "simpleflow")
        self._where = where
        self._log = log
        self._environment = served.environment(
            PYTHONPATH=str(where), SWF_DOMAIN=_DOMAIN, PATH=f"{bin_folder}{os.pathsep}{os.environ['PATH']}"
        )

    def run(self, *arguments: str) -> str:
        done = subprocess.run(
            [self._command, *arguments],
            cwd=self._log.parent,
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    @contextlib.contextmanager
    def start(self, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
        """Run a command beside the test, and end all of its processes afterwards."""
        with open(self._log, "ab") as log:
            process = subprocess.Popen(
                [self._command, *arguments],
                cwd=self._log.parent,
                env=self._environment,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        try:
            yield process
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait(10)

    def result(self, workflow_id: str, seconds: float = 90) -> Any:
        """Wait for an execution to complete; return its result."""
        try:
            info = self._served.closed(_DOMAIN, workflow_id, seconds)
        except AssertionError as error:
            raise AssertionError(f"{error}: {self._log.read_text()[-4000:]}") from error
        assert info["closeStatus"] == "COMPLETED", self._log.read_text()[-4000:]
        last = self._served.history(_DOMAIN, info["execution"])[-1]
        return json.loads(last["workflowExecutionCompletedEventAttributes"]["result"])


@pytest.fixture
def old(served: others.Served, virtual_environment: others.Install, here: Path, tmp_path: Path) -> Old:
    # 0.36 imports pkg_resources, which setuptools 81 took away
    bin_folder = virtual_environment("simpleflow-036", "simpleflow==0.36.0", "setuptools<81")
    served.swf.register_domain(name=_DOMAIN, workflowExecutionRetentionPeriodInDays="1")
    (tmp_path / "flow36.py").write_text((here / "flow36.py").read_text())
    return Old(served, bin_folder, tmp_path, tmp_path / "log")


def test_standalone(old: Old) -> None:
    given = ("--nb-deciders", "1", "--nb-workers", "2", "--input", '{"args":[5]}')
    with old.start("standalone", "--domain", _DOMAIN, *given, "flow36.Main") as process:
        assert old.result("main36") == _RESULT
        # Its workers end when their polls do, as with Amazon SWF: after 60 seconds; its decider after them, likewise.
        assert process.wait(240) == 0


def test_deciders_and_workers_of_their_own(old: Old, served: others.Served) -> None:
    decider = ("decider.start", "--domain", _DOMAIN, "--task-list", "decide36", "--nb-processes", "1")
    worker = ("worker.start", "--domain", _DOMAIN, "--task-list", "work36", "--nb-processes", "2")
    with old.start(*decider, "flow36.Main", "flow36.Child", "flow36.Signalled"), old.start(*worker):
        start = ("workflow.start", "--domain", _DOMAIN)
        printed = old.run(*start, "--workflow-id", "first", "--input", '{"args":[5]}', "flow36.Main")
        assert "first" in printed
        assert old.result("first") == _RESULT
        old.run(*start, "--workflow-id", "second", "--input", '{"args":[]}', "flow36.Signalled")
        time.sleep(1.0)
        served.swf.signal_workflow_execution(domain=_DOMAIN, workflowId="second", signalName="go")
        assert old.result("second") == 42
        assert "first" in old.run("workflow.list", _DOMAIN, "--status", "closed")
        # Without its run id 0.36 finds open executions only.
        first = served.closed(_DOMAIN, "first", 1)["execution"]["runId"]
        assert "main36" in old.run("workflow.info", _DOMAIN, "first", first)
        assert "increment" in old.run("workflow.profile", _DOMAIN, "first", first)
        assert "increment" in old.run("workflow.tasks", _DOMAIN, "first", first)
        old.run(*start, "--workflow-id", "third", "--input", '{"args":[]}', "flow36.Signalled")
        old.run("workflow.terminate", _DOMAIN, "third")
        assert served.closed(_DOMAIN, "third", 10)["closeStatus"] == "TERMINATED"


def test_its_own_defaults(old: Old, served: others.Served) -> None:
    """Deciders and workers without any count: they are forked from a process whose connection they share."""
    decider = ("decider.start", "--domain", _DOMAIN, "--task-list", "decide36")
    worker = ("worker.start", "--domain", _DOMAIN, "--task-list", "work36")
    with old.start(*decider, "flow36.Main", "flow36.Child", "flow36.Signalled"), old.start(*worker):
        start = ("workflow.start", "--domain", _DOMAIN)
        old.run(*start, "--workflow-id", "defaults", "--input", '{"args":[5]}', "flow36.Main")
        assert old.result("defaults", _BEFORE_A_POLL_ENDS) == _RESULT


def test_two_deciders_are_forked_before_the_first_poll(old: Old) -> None:
    given = ("--nb-deciders", "2", "--nb-workers", "2", "--input", '{"args":[5]}')
    with old.start("standalone", "--domain", _DOMAIN, *given, "flow36.Main"):
        assert old.result("main36", _BEFORE_A_POLL_ENDS) == _RESULT
