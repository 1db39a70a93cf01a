"""The scenes of ``make demo-spot``, each waited for by what the cluster itself says."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from simpleflow.client import connect, executions, starting
from simpleflow.core import errors, events
from simpleflow.nodes import billing
from simpleflow.nodes.cluster import cluster as clusters
from simpleflow.nodes.providers.process import node_folder

from . import workflow

CLUSTER = Path(__file__).with_name("cluster.yaml")
#: seconds for each scene, between two looks, and from a notice to the end of its machine
SCENE, LOOK, NOTICE = 90.0, 0.2, 8.0
#: frames of the film, and seconds of each
FRAMES, SECONDS = 8, 5.0
#: what is wrong in the cluster file, and what mends it
MISTAKE, MENDED = "LOG_LEVEL: LOUD", "LOG_LEVEL: INFO"


class Demo:
    """One run; what happens goes to stdout."""

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        #: the person's own copy of the file, which is mended on the way
        self._file = folder / "cluster.yaml"
        self._file.write_text(CLUSTER.read_text())
        self._environment = environment
        self._began = time.monotonic()

    def run(self) -> None:
        """Play every scene; raises SimpleflowError for one that could not be shown."""
        self._say(
            "local cluster: spot machines, dear machines, machines that are set up wrongly; a budget of 1 USD an hour"
        )
        with clusters.running(self._file, self._environment) as cluster:
            up = cluster.up
            with connect.connect(domain=up.domain, endpoint_url=up.endpoint) as connection:
                run = self._start(connection, up.task_list)
                self._notice(cluster)
                self._refusal(cluster)
                self._failed_boot(cluster)
                self._mend()
                self._until("the workflow's end", lambda: self._closed(connection, run))
                self._say(f"the workflow completed: {self._result(connection, run)}")
                self._interrupted(connection, run)
            self._to_zero(cluster)
        self._say("the cluster is down")

    def _say(self, line: str, more: str = "") -> None:
        print(f"{time.monotonic() - self._began:6.1f} s  {line}", flush=True)
        for each in more.splitlines():
            print(f"            | {each}", flush=True)

    def _until(self, what: str, condition: Callable[[], Any]) -> Any:
        limit = time.monotonic() + SCENE
        while not (found := condition()):
            if time.monotonic() > limit:
                raise errors.SimpleflowError(f"not within {SCENE:.0f} s: {what}")
            time.sleep(LOOK)
        return found

    # --- scenes -------------------------------------------------------------------------------------------------------

    def _start(self, connection: connect.Connection, task_list: str) -> executions.Run:
        path = f"{workflow.Film.__module__}.{workflow.Film.__qualname__}"
        given = {"args": [FRAMES, SECONDS], "kwargs": {}}
        asked = starting.request(workflow.Film, path, given, workflow_id="film", task_list=task_list)
        run_id = starting.begin(connection.transport, connection.domain, asked)
        self._say("workflow film started: frames for spot machines, two cuts for dear ones, a title")
        return executions.Run(domain=connection.domain, workflow_id="film", run_id=run_id)

    def _notice(self, cluster: clusters.Cluster) -> None:
        """The provider takes a busy spot machine away: it writes the notice that the machine's metadata then shows."""

        def busy() -> Any:
            return next(
                (n for n in cluster.status().nodes if n.profile == "small" and n.running and n.ended is None), None
            )

        node = self._until("a spot machine at work", busy)
        moment = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + NOTICE))
        notice = node_folder.NodeFolder(cluster.paths.folder / "nodes" / node.node).notice
        node_folder.write(notice, f'{{"action":"terminate","time":"{moment}"}}'.encode())
        self._say(f"SPOT NOTICE: {node.node} works on {len(node.running)} tasks and has {NOTICE:.0f} s left")
        self._until("the machine's drain", lambda: self._state(cluster, node.node) != "working")
        self._say(f"{node.node} takes no more tasks; what cannot finish in time runs again elsewhere")

    @staticmethod
    def _state(cluster: clusters.Cluster, name: str) -> str:
        return next(each.state for each in cluster.status().nodes if each.node == name)

    def _refusal(self, cluster: clusters.Cluster) -> None:
        """The second dear machine is over the budget."""

        def refused() -> Any:
            decided = (each for each in cluster.newest() if each.kind == "note")
            return next((each.reason for each in decided if "large" in each.reason and "budget" in each.reason), None)

        said = self._until("a refusal for the budget", refused)
        self._say("BUDGET: two cuts wait, one dear machine is launched, the second is not", said)

    def _failed_boot(self, cluster: clusters.Cluster) -> None:
        """Three machines in a row never poll: the breaker stops further launches, and shows the end of a boot's log."""

        def opened() -> Any:
            found = cluster.status()
            return found if any(each.profile == "odd" and each.count >= 3 for each in found.failures) else None

        found = self._until("the breaker", opened)
        [failure] = [each for each in found.failures if each.profile == "odd"]
        self._say(f"BREAKER: {failure.count} machines of profile 'odd' booted and never worked: no more are launched")
        self._say("the end of the last one's log:", "\n".join(failure.last_log.splitlines()[-4:]))

    def _mend(self) -> None:
        """What a person does then: mend the file, and `sfnodes up`."""
        self._file.write_text(self._file.read_text().replace(MISTAKE, MENDED))
        mended = clusters.load(self._file, self._environment)
        mended.renew()
        mended.resume()
        self._say(
            f"the file is mended ({MISTAKE} -> {MENDED}), and `sfnodes up` publishes it: launches are tried again"
        )

    @staticmethod
    def _closed(connection: connect.Connection, run: executions.Run) -> bool:
        return bool(executions.describe(connection, run).execution_info.execution_status == "CLOSED")

    @staticmethod
    def _result(connection: connect.Connection, run: executions.Run) -> str:
        last = list(executions.history(connection, run))[-1]
        if events.type_name(last) != "WorkflowExecutionCompleted":
            raise errors.SimpleflowError(f"the workflow ended as {events.type_name(last)}")
        return str(last.attributes.result)  # type: ignore[attr-defined]  # of this type of event

    def _interrupted(self, connection: connect.Connection, run: executions.Run) -> None:
        failed = [
            each for each in executions.history(connection, run) if events.type_name(each) == "ActivityTaskFailed"
        ]
        reasons = [each.attributes.reason for each in failed]  # type: ignore[attr-defined]  # of this type of event
        count = sum(reason == "simpleflow.node.interrupted" for reason in reasons)
        self._say(
            f"{count} tasks were interrupted by the notice and ran again, outside their retries; no task was lost"
        )

    def _to_zero(self, cluster: clusters.Cluster) -> None:
        status = self._until("no machine", lambda: _empty(cluster.status()))
        ended = [each for each in status.nodes if each.ended is not None]
        cost = sum(each.cost for each in ended) / billing.MICRO
        self._say(
            f"SCALE TO ZERO: all {len(ended)} machines have gone; they would have cost {cost:.4f} {status.currency}"
        )


def _empty(status: clusters.Status) -> clusters.Status | None:
    return status if status.nodes and all(each.ended is not None for each in status.nodes) else None
