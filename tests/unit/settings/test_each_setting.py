"""Every setting changes something: what is observed differs from what it is without the setting."""

from __future__ import annotations

import base64
import io
import json
import logging
import os
import subprocess
import sys
import tempfile
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click
import pytest

from simpleflow import Workflow, activity, download, format, log, metrology, settings, step, storage
from simpleflow.cli import context
from simpleflow.client import connect, starting
from simpleflow.core import events
from simpleflow.process import titles
from simpleflow.runtime import bounds, poller_identity, runner, standalone, stores
from simpleflow.settings import base
from simpleflow.swf import errors as swf_errors
from simpleflow.swf import repeating
from simpleflow.testing import Environment
from simpleflow.utils import mounting

KEY = base64.b64encode(bytes(32)).decode()
POINTER = "simpleflow+s3://bucket/0e6c3d3c-6f4a-4a6b-9d8e-0123456789ab 3"


@pytest.fixture(autouse=True)
def _fresh(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in base.NAMES:
        monkeypatch.delenv(name, raising=False)
    settings.reload()
    yield
    settings.reload()
    titles.enabled = True
    repeating.repeat_connections(None)


class Plain(Workflow):
    """Says nothing of itself."""

    name = "plain"


def asked(*path: str) -> Callable[[], Any]:
    """What a start asks for."""

    def look() -> Any:
        found: Any = starting.request(Plain, "m.Plain", {"args": [], "kwargs": {}}, workflow_id="w")
        for key in path:
            found = found[key]
        return found

    return look


def work() -> None:
    pass


class Works(Workflow):
    """Submits an activity that says nothing of itself."""

    name, version, task_list = "works", "1", "decisions"

    def run(self) -> None:
        self.submit(activity.with_attributes()(work)).result


def scheduled(read: Callable[[Any], Any]) -> Callable[[], Any]:
    """What the decision of a task says."""

    def look() -> Any:
        Works.work = activity.with_attributes()(work)
        with Environment(workflows=[Works], replay=False) as place:
            run = place.start(Works)
            for _ in range(2):  # the type is registered after the first decision
                place.step()
            found = next(e for e in place.history(run) if isinstance(e, events.ActivityTaskScheduled))
            return read(found.attributes)

    return look


class Bucket:
    """What is stored in S3."""

    def __init__(self, name: str) -> None:
        self.put: list[Any] = [name]

    def upload_fileobj(self, content: io.BytesIO, key: str, ExtraArgs: Any) -> None:
        self.put.append((key, ExtraArgs))


def stored() -> Any:
    """Bucket, key and options of what is stored, by metrology."""
    made: list[Bucket] = []

    def get_bucket(name: str) -> Bucket:
        made.append(Bucket(name))
        return made[-1]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(storage, "get_bucket", get_bucket)
        metrology._push(metrology._path("w", "r"), {})
    return made[0].put


def unknown_region() -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(storage.buckets, "region", lambda bucket: None)
        return storage.sanitize_bucket_and_host("some-bucket-of-nobody")


def step_bucket() -> Any:
    return step.workflow.WorkflowStepMixin.get_step_bucket(step.workflow.WorkflowStepMixin())


def configured() -> Any:
    logger = logging.getLogger("simpleflow")
    before = logger.handlers[:], logger.level, logger.propagate
    logger.handlers = []
    try:
        log.configure()
        return logger.level, [(type(handler), type(handler.formatter)) for handler in logger.handlers]
    finally:
        for handler in logger.handlers:
            handler.close()
        logger.handlers, logger.level, logger.propagate = before


def cached() -> Any:
    """Whether a value that 0.36 stored is on the disk after it was read."""
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(format.constants, "CACHE_DIR", folder)
        patch.setattr(storage, "pull_content", lambda bucket, key: '"x"')
        format.JUMBO_FIELDS_MEMORY_CACHE.clear()
        assert format.decode(POINTER, use_proxy=False) == "x"
        format.JUMBO_FIELDS_MEMORY_CACHE.clear()
        return [path.name for path in Path(folder).rglob("*") if path.is_file()]


def connected() -> Any:
    """Where a command connects to."""
    seen: list[Any] = []

    def connect_to(*, domain: str | None, endpoint_url: str | None, **_: Any) -> Any:
        seen.append((domain, endpoint_url))
        return types.SimpleNamespace(domain=domain or "default")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(connect, "connect", connect_to)
        with click.Context(click.Command("x")):
            context.State().connect()
    return seen


def repetitions() -> Any:
    """How often a call to a service that is not there is made."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(connect.http, "open_endpoint", lambda url: object())
        connect.connect("d", endpoint_url="http://127.0.0.1:1")
    made: list[int] = []

    def attempt() -> None:
        made.append(1)
        raise swf_errors.NotSent("nothing listens")

    with pytest.raises(swf_errors.NotSent):
        repeating.attempts("a call", wait=lambda seconds: False).run(attempt)
    return len(made)


def encoded() -> Any:
    text = json.dumps("x" * 2_000)
    found = stores.open_store(None).offload(text, field="input", limit=1_000_000)
    return found.split(":")[1] if found.startswith("simpleflow+codec") else found


def located() -> Any:
    return stores.location("unix:///x"), stores.location(None)


def places() -> Any:
    """Where the embedded service lies, for a process with this environment."""
    from simpleflow.server.process import places as found

    where = found.Places()
    return str(where.runtime), str(where.data)


def title() -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(runner.titles, "enabled", True)
        titles.enabled = not settings.SIMPLEFLOW_DISABLE_SETPROCTITLE
        return titles.enabled


def signed_for() -> Any:
    """The region that requests to Amazon are signed for."""
    program = (
        "from simpleflow.swf.transport import http\n"
        "try: print(http.open_amazon()._sign.region)\n"
        "except Exception as error: print(type(error).__name__)"
    )
    environment = {**os.environ, "AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b", "AWS_CONFIG_FILE": "/dev/null"}
    environment.pop("AWS_REGION", None)
    return subprocess.run(
        [sys.executable, "-c", program], env=environment, text=True, capture_output=True, check=True, timeout=60
    ).stdout


def shown() -> Any:
    return context.State().output_format


def identity() -> Any:
    found = json.loads(poller_identity.make())
    return {key: found[key] for key in found if key in ("node", "x")}


def limits_of() -> Any:
    return bounds.of_settings()


def grace() -> Any:
    return standalone.WorkerSpec(task_list="t").setup(None, "d").grace


#: setting -> a value as the environment holds it, and what is looked at
TABLE: dict[str, tuple[str, Callable[[], Any]]] = {
    "WORKFLOW_DEFAULT_TASK_LIST": ("elsewhere", asked("taskList", "name")),
    "WORKFLOW_DEFAULT_VERSION": ("7", asked("workflowType", "version")),
    "WORKFLOW_DEFAULT_EXECUTION_TIME": ("3600", asked("executionStartToCloseTimeout")),
    "WORKFLOW_DEFAULT_DECISION_TASK_TIMEOUT": ("60", asked("taskStartToCloseTimeout")),
    "ACTIVITY_DEFAULT_TASK_LIST": ("elsewhere", scheduled(lambda said: said.task_list.name)),
    "ACTIVITY_DEFAULT_VERSION": ("7", scheduled(lambda said: said.activity_type.version)),
    "ACTIVITY_DEFAULT_TIMEOUT": ("60", scheduled(lambda said: (said.start_to_close_timeout, said.heartbeat_timeout))),
    "ACTIVITY_START_TO_CLOSE_TIMEOUT": ("60", scheduled(lambda said: said.start_to_close_timeout)),
    "ACTIVITY_HEARTBEAT_TIMEOUT": ("60", scheduled(lambda said: said.heartbeat_timeout)),
    "ACTIVITY_SCHEDULE_TO_CLOSE_TIMEOUT": ("600", scheduled(lambda said: said.schedule_to_close_timeout)),
    "ACTIVITY_SCHEDULE_TO_START_TIMEOUT": ("600", scheduled(lambda said: said.schedule_to_start_timeout)),
    "ACTIVITY_SIGTERM_WAIT_SEC": ("9", grace),
    "SIMPLEFLOW_S3_HOST": ("s3.eu-west-1.amazonaws.com", unknown_region),
    "SIMPLEFLOW_S3_SSE": ("yes", stored),
    "STEP_BUCKET": ("steps", step_bucket),
    "METROLOGY_BUCKET": ("measures", stored),
    "METROLOGY_PATH_PREFIX": ("team", stored),
    "LOGGING": ('{"version":1,"loggers":{"simpleflow":{"level":"ERROR"}}}', configured),
    "SIMPLEFLOW_SYSLOG_TARGET": ("127.0.0.1:9", configured),
    "LOG_LEVEL": ("ERROR", configured),
    "SIMPLEFLOW_LOG_FORMAT": ("json", configured),
    "SIMPLEFLOW_INTERCEPTORS": ("simpleflow.core.interceptors.Interceptor", mounting.mounted),
    "SIMPLEFLOW_ENABLE_DISK_CACHE": ("on", cached),
    "SIMPLEFLOW_BINARIES_DIRECTORY": ("/opt/b", lambda: download.RemoteBinary("b", "s3://x/b").local_directory),
    "SWF_DOMAIN": ("prod", connected),
    "SIMPLEFLOW_FORMAT": ("json", shown),
    "SIMPLEFLOW_IDENTITY": ('{"x":1}', identity),
    "SIMPLEFLOW_NODE_ID": ("n-1", identity),
    "SWF_CONNECTION_RETRIES": ("2", repetitions),
    "SWF_MAX_OPEN_ACTIVITY_COUNT": ("7", limits_of),
    "SIMPLEFLOW_JUMBO_FIELDS_BUCKET": ("bucket", located),
    "SIMPLEFLOW_ENCRYPTION_KEYS": (f"k:{KEY}", encoded),
    "SIMPLEFLOW_COMPRESSION": ("1", encoded),
    "SIMPLEFLOW_CODECS": ("simpleflow.data.codec.Zlib", encoded),
    "SIMPLEFLOW_ENV": ("test", limits_of),
    "SIMPLEFLOW_DISABLE_SETPROCTITLE": ("true", title),
    "AWS_ENDPOINT_URL_SWF": ("http://127.0.0.1:1", connected),
    "AWS_DEFAULT_REGION": ("eu-west-3", signed_for),
    "SIMPLEFLOW_RUNTIME_DIR": ("/run/s", places),
    "SIMPLEFLOW_DATA_DIR": ("/data/s", places),
}
#: shown with real processes: the channel to an agent, tests/unit/nodes
ELSEWHERE = {"SIMPLEFLOW_STATUS_SOCKET"}


def test_the_table_holds_every_setting() -> None:
    assert set(TABLE) | ELSEWHERE == set(base.NAMES)


@pytest.mark.parametrize("name", sorted(TABLE))
def test_it_changes_something(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    value, look = TABLE[name]
    without = look()
    monkeypatch.setenv(name, value)
    settings.reload()
    assert look() != without


def test_calls_are_repeated_as_often_as_the_setting_says() -> None:
    settings.put_setting("SWF_CONNECTION_RETRIES", 0)
    assert repetitions() == 1
    settings.put_setting("SWF_CONNECTION_RETRIES", 3)
    assert repetitions() == 4


def test_importing_reads_no_setting() -> None:
    """A wrong value is told by what needs it, not by an import."""
    program = (
        "import simpleflow.activity, simpleflow.workflow; from simpleflow import settings; print(settings._loaded)"
    )
    environment = {**os.environ, "SIMPLEFLOW_COMPRESSION": "perhaps"}
    said = subprocess.run(
        [sys.executable, "-c", program], env=environment, text=True, capture_output=True, check=True, timeout=60
    )
    assert said.stdout.strip() == "False"
