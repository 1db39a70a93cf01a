"""Prometheus metrics: ``--metrics PORT`` of ``worker.start``, ``decider.start`` and ``standalone``.

Your own program may name ``Metrics`` in SIMPLEFLOW_INTERCEPTORS and serve the default registry itself. Needs the extra
 ``simpleflow[prometheus]``.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import prometheus_client as client
from prometheus_client import multiprocess

from simpleflow.core import errors, interceptors

#: names the folder in which several processes write metrics that one of them serves; prometheus_client reads it
FOLDER_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
_SECONDS = (0.005, 0.02, 0.1, 0.5, 1, 5, 30, 120, 600, 3600, 14400)


class Metrics(interceptors.Interceptor):
    """Counts calls, decisions and tasks, and their seconds. Thread safe.

    simpleflow_calls_total{call, outcome}, simpleflow_decisions_total{workflow}, simpleflow_decision_seconds{workflow},
    simpleflow_closed_total{workflow, decision}, simpleflow_tasks_total{activity, task_list, outcome},
    simpleflow_task_seconds{activity, task_list}, simpleflow_tasks_running{task_list}.
    """

    def __init__(self, registry: client.CollectorRegistry = client.REGISTRY) -> None:
        def named(kind: Any, name: str, words: str, labels: tuple[str, ...], **more: Any) -> Any:
            return kind(f"simpleflow_{name}", words, labels, registry=registry, **more)

        self._calls = named(client.Counter, "calls", "Calls of clients.", ("call", "outcome"))
        self._decisions = named(client.Counter, "decisions", "Decisions that were acknowledged.", ("workflow",))
        self._decision_seconds = named(
            client.Histogram, "decision_seconds", "Seconds of evaluation and response.", ("workflow",), buckets=_SECONDS
        )
        self._closed = named(client.Counter, "closed", "Executions that a decision closed.", ("workflow", "decision"))
        self._tasks = named(client.Counter, "tasks", "Activity tasks that ended.", ("activity", "task_list", "outcome"))
        self._task_seconds = named(
            client.Histogram, "task_seconds", "Seconds of activity tasks.", ("activity", "task_list"), buckets=_SECONDS
        )
        self._running = named(
            client.Gauge, "tasks_running", "Activity tasks that run now.", ("task_list",), multiprocess_mode="livesum"
        )

    def call(self, call: interceptors.ClientCall, proceed: Callable[[], Any]) -> Any:
        """Count a client's call."""
        outcome = "failed"
        try:
            result = proceed()
            outcome = "done"
            return result
        finally:
            self._calls.labels(call.what, outcome).inc()

    def answered(self, outcome: interceptors.DecisionAnswered) -> None:
        """Count a decision."""
        workflow = outcome.execution.workflow_name
        self._decisions.labels(workflow).inc()
        self._decision_seconds.labels(workflow).observe(outcome.seconds)
        if outcome.closed:
            self._closed.labels(workflow, outcome.decisions[-1] if outcome.decisions else "").inc()

    def task_received(self, task: interceptors.TaskReceived) -> None:
        """Count a task that runs."""
        self._running.labels(task.task_list).inc()

    def task_answered(self, outcome: interceptors.TaskAnswered) -> None:
        """Count a task that ended."""
        task = outcome.task
        self._running.labels(task.task_list).dec()
        self._tasks.labels(task.name, task.task_list, outcome.outcome).inc()
        self._task_seconds.labels(task.name, task.task_list).observe(outcome.seconds)


class _Processes(multiprocess.MultiProcessCollector):  # type: ignore[misc]  # the package has no types
    """What the processes that share a folder wrote; a dead one runs no tasks, whatever it wrote last."""

    def collect(self) -> Any:
        for path in Path(self._path).glob("gauge_live*_*.db"):
            pid = path.stem.rpartition("_")[2]
            if pid.isdigit() and _dead(int(pid)):
                path.unlink(missing_ok=True)
        return super().collect()


def _dead(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except PermissionError:  # another user's, by now
        pass
    return False


class Page:
    """Serves metrics at http://HOST:PORT/metrics, in threads of its own: those of this process, or of all processes
    that share the folder of PROMETHEUS_MULTIPROC_DIR."""

    def __init__(self, host: str, port: int) -> None:
        """Raises UsageError for a port that is taken."""
        registry = client.REGISTRY
        if os.environ.get(FOLDER_VARIABLE):
            registry = client.CollectorRegistry()
            _Processes(registry)
        try:
            self._server, self._thread = client.start_http_server(port, addr=host, registry=registry)
        except OSError as error:
            raise errors.UsageError(
                f"--metrics {host}:{port} cannot be served ({error.strerror}): give another port, or 0 for a free one"
            ) from error
        self.url = f"http://{host}:{self._server.server_port}/metrics"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
