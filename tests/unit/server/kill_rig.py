"""A server that is killed and started again, clients that load it meanwhile, and what was acknowledged to them."""

from __future__ import annotations

import contextlib
import http.client
import itertools
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
import urllib.parse
from pathlib import Path
from typing import Any

_HERE = Path(__file__).resolve().parent
DOMAIN = "killed"
TYPE = {"name": "type", "version": "1"}
_DECISIONS = {"name": "decisions"}
_ACTIVITIES = {"name": "activities"}
_DURATIONS = {
    "scheduleToStartTimeout": "NONE",
    "scheduleToCloseTimeout": "NONE",
    "startToCloseTimeout": "2",
    "heartbeatTimeout": "NONE",
}
_EXECUTION = {"taskStartToCloseTimeout": "2", "executionStartToCloseTimeout": "3600", "childPolicy": "TERMINATE"}


class Refused(Exception):
    """The server answered with a fault."""


class Gone(Exception):
    """There was no answer: whether the call was carried out is not known."""


class Server:
    """The server of one database, which may be killed and started again."""

    def __init__(self, folder: Path) -> None:
        self.database = folder / "swf.db"
        places = {"SIMPLEFLOW_RUNTIME_DIR": str(folder), "SIMPLEFLOW_DATA_DIR": str(folder)}
        self._forks = subprocess.Popen(
            [sys.executable, str(_HERE / "kill_forks.py")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, **places, "PYTHONPATH": str(_HERE.parents[2])},
            text=True,
        )
        self._pid = 0
        self.where = ""

    def start(self) -> None:
        assert self._forks.stdin is not None
        assert self._forks.stdout is not None
        self._forks.stdin.write(f"{self.database}\n")
        self._forks.stdin.flush()
        self._pid, self.where = 0, ""
        while not (self._pid and self.where):
            line = self._forks.stdout.readline()
            assert line, "the server did not start"
            if line.startswith("pid "):
                self._pid = int(line.split()[1])
            elif line.startswith("export AWS_ENDPOINT_URL_SWF="):
                self.where = urllib.parse.urlsplit(line.strip().partition("=")[2]).netloc

    def kill(self) -> None:
        """SIGKILL, and wait until it is gone."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self._pid, signal.SIGKILL)
            for _ in range(5_000):
                os.kill(self._pid, 0)
                time.sleep(0.001)

    def close(self) -> None:
        self.kill()
        assert self._forks.stdin is not None
        assert self._forks.stdout is not None
        self._forks.stdin.close()
        self._forks.wait(10)
        self._forks.stdout.close()


class Client:
    """One connection; a call either is answered, or raises Refused or Gone."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._connection: http.client.HTTPConnection | None = None

    def call(self, action: str, **request: Any) -> Any:
        try:
            if self._connection is None:
                self._connection = http.client.HTTPConnection(self._server.where, timeout=70)
            headers = {"X-Amz-Target": f"SimpleWorkflowService.{action}", "Content-Type": "application/x-amz-json-1.0"}
            self._connection.request("POST", "/", json.dumps(request), headers)
            answer = self._connection.getresponse()
            body = answer.read()
        except (OSError, http.client.HTTPException) as error:
            self.close()
            raise Gone(str(error)) from error
        if answer.status != 200:
            raise Refused(body.decode())
        return json.loads(body) if body else {}

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


class Acknowledged:
    """What clients tried, and what of it was acknowledged."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        #: workflow id -> run id that was acknowledged
        self.runs: dict[str, str] = {}
        #: what was acknowledged of a run: signals by name, completed activities by result, started decision tasks
        self.signals: set[tuple[str, str]] = set()
        self.results: set[tuple[str, str]] = set()
        self.started: set[tuple[str, int]] = set()
        self.answered: set[tuple[str, int]] = set()
        #: runs that something was done to since they were checked
        self.touched: set[str] = set()
        self.numbers = itertools.count(1)

    def note(self, run_id: str, where: set[Any], what: Any) -> None:
        with self.lock:
            where.add((run_id, what))
            self.touched.add(run_id)


class Load:
    """Threads that start, decide, work and signal until they are told to stop."""

    def __init__(self, server: Server, acknowledged: Acknowledged, seed: int, *, begin: bool = True) -> None:
        self._server = server
        self._ledger = acknowledged
        self._random = random.Random(seed)
        self._stop = threading.Event()
        self.failures: list[BaseException] = []
        jobs = [self._decide, self._decide, self._work, *([self._start, self._signal] if begin else [])]
        self._threads = [threading.Thread(target=self._loop, args=(job,), daemon=True) for job in jobs]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(80)
            assert not thread.is_alive(), "a client hangs though its server is gone"
        if self.failures:
            raise self.failures[0]

    def _loop(self, job: Any) -> None:
        client = Client(self._server)
        try:
            while not self._stop.is_set():
                try:
                    job(client)
                except Refused as refusal:
                    # a token that timed out, a run that closed
                    if "UnknownResourceFault" not in str(refusal):
                        raise
        except Gone:
            pass
        except BaseException as error:
            self.failures.append(error)
        finally:
            client.close()

    def _start(self, client: Client) -> None:
        workflow_id = f"w{next(self._ledger.numbers)}"
        request = {"domain": DOMAIN, "workflowId": workflow_id, "workflowType": TYPE, "taskList": _DECISIONS}
        made = client.call("StartWorkflowExecution", **request, **_EXECUTION)
        with self._ledger.lock:
            self._ledger.runs[workflow_id] = made["runId"]
            self._ledger.touched.add(made["runId"])
        time.sleep(self._random.uniform(0.0, 0.02))

    def _signal(self, client: Client) -> None:
        time.sleep(self._random.uniform(0.0, 0.02))
        with self._ledger.lock:
            if not self._ledger.runs:
                return
            workflow_id, run_id = self._random.choice(list(self._ledger.runs.items())[-30:])
        name = f"s{next(self._ledger.numbers)}"
        client.call("SignalWorkflowExecution", domain=DOMAIN, workflowId=workflow_id, runId=run_id, signalName=name)
        self._ledger.note(run_id, self._ledger.signals, name)

    def _decide(self, client: Client) -> None:
        task = client.call("PollForDecisionTask", domain=DOMAIN, taskList=_DECISIONS)
        if not task["taskToken"]:
            return
        run_id = task["workflowExecution"]["runId"]
        self._ledger.note(run_id, self._ledger.started, task["startedEventId"])
        kinds = [event["eventType"] for event in task["events"]]
        decisions: list[dict[str, Any]] = []
        if "ActivityTaskScheduled" not in kinds:
            number = next(self._ledger.numbers)
            activity = {"activityId": f"a{number}", "activityType": TYPE, "taskList": _ACTIVITIES, **_DURATIONS}
            timer = {"timerId": f"t{number}", "startToFireTimeout": self._random.choice(["0", "1"])}
            decisions = [
                {"decisionType": "ScheduleActivityTask", "scheduleActivityTaskDecisionAttributes": activity},
                {"decisionType": "StartTimer", "startTimerDecisionAttributes": timer},
            ]
        elif "TimerFired" in kinds and {"ActivityTaskCompleted", "ActivityTaskTimedOut"} & set(kinds):
            decisions = [{"decisionType": "CompleteWorkflowExecution"}]
        client.call("RespondDecisionTaskCompleted", taskToken=task["taskToken"], decisions=decisions)
        self._ledger.note(run_id, self._ledger.answered, task["startedEventId"])

    def _work(self, client: Client) -> None:
        task = client.call("PollForActivityTask", domain=DOMAIN, taskList=_ACTIVITIES)
        if not task["taskToken"]:
            return
        run_id, result = task["workflowExecution"]["runId"], f"r{next(self._ledger.numbers)}"
        client.call("RespondActivityTaskCompleted", taskToken=task["taskToken"], result=result)
        self._ledger.note(run_id, self._ledger.results, result)
