"""Interceptors see what clients, deciders and workers do; what run() logs is said once."""

from __future__ import annotations

import logging

import observed_flows as flows
import pytest
from observed_flows import Observe

from simpleflow import log, logging_context, settings
from simpleflow.core import errors
from simpleflow.runtime import program_log
from simpleflow.utils import mounting

A = "ScheduleActivityTask"


def test_each_sees_its_calls_in_order(observe: Observe) -> None:
    flows.seen.clear()
    observe(flows.Sees(), "observed_flows.Sees")
    assert flows.seen == [
        ("start", "observed"),
        ("answered", (A,), False, True),  # refused: the type was registered, and it was scheduled again
        ("answered", (A,), False, False),
        ("received", "observed_flows.add"),
        ("execute", "observed_flows.add", True),
        ("task", "completed", ""),
        ("answered", (A,), False, False),
        ("answered", (A,), False, False),
        ("received", "observed_flows.fail"),
        ("execute", "observed_flows.fail", True),
        ("task", "failed", "ValueError: odd"),
        ("answered", (), False, False),
        ("query", "status"),
        ("signal", "go"),
        ("answered", ("CompleteWorkflowExecution",), True, False),
    ]


@pytest.mark.parametrize(
    "path", ["no_such.module", "observed_flows.nothing", "observed_flows.broken", "json.JSONDecoder"]
)
def test_what_is_not_an_interceptor_is_named(monkeypatch: pytest.MonkeyPatch, path: str) -> None:
    monkeypatch.setitem(settings._load(), "SIMPLEFLOW_INTERCEPTORS", f"observed_flows.Sees, {path}")
    with pytest.raises(errors.UsageError, match=f"{path}.*package.module.NAME"):
        mounting.mounted()
    monkeypatch.setitem(settings._load(), "SIMPLEFLOW_INTERCEPTORS", " observed_flows.Sees ,")
    assert [type(each) for each in mounting.mounted()] == [flows.Sees]
    assert mounting.mounted() == mounting.mounted()  # made once: two clients of a process share them


def test_what_run_logs_is_said_once_with_its_run(observe: Observe, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    plain = observe(flows.Sees())
    assert [record.message for record in caplog.records if record.name == "observed_flows"].count("begins") > 2
    caplog.clear()
    caplog.handler.addFilter(program_log.ProgramFilter())
    run = observe(flows.Sees())
    said = [record for record in caplog.records if record.name == "observed_flows"]
    assert [record.message for record in said] == ["begins", "added", "ends"]
    assert {(vars(record)["workflow_id"], vars(record)["run_id"]) for record in said} == {(run.workflow_id, run.run_id)}
    assert plain.workflow_id != run.workflow_id


def test_the_filter_goes_on_each_handler_once(monkeypatch: pytest.MonkeyPatch) -> None:
    handler = logging.StreamHandler()
    monkeypatch.setattr(logging.getLogger("observed_flows"), "handlers", [handler])
    known = {id(each): list(each.filters) for each in logging.root.handlers + log.logger.handlers}
    try:
        program_log.install()
        program_log.install()
        assert [type(each) for each in handler.filters] == [program_log.ProgramFilter]
    finally:
        for each in logging.root.handlers + log.logger.handlers:
            each.filters[:] = known[id(each)]


def test_what_a_thread_works_on_is_its_own() -> None:
    with logging_context.within(workflow_id="w", event_id=7):
        with logging_context.within(run_id="r"):
            assert logging_context.items() == {"workflow_id": "w", "event_id": "7", "run_id": "r"}
        assert "run_id" not in logging_context.items()
    assert logging_context.items() == {}


def test_the_format_of_the_log_is_a_setting(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(log.logger, "handlers", [])
    monkeypatch.setattr(log.logger, "propagate", True)
    monkeypatch.setattr(logging, "lastResort", None)
    monkeypatch.setitem(settings._load(), "SIMPLEFLOW_LOG_FORMAT", "json")
    log.configure()
    with logging_context.within(workflow_id="w", run_id="r", activity_id="a", event_id=7):
        log.logger.info("said")
    line = capsys.readouterr().err
    for part in ('"workflow_id":"w"', '"run_id":"r"', '"activity_id":"a"', '"attempt":"7"', '"message":"said"'):
        assert part in line
    monkeypatch.setitem(settings._load(), "SIMPLEFLOW_LOG_FORMAT", "xml")
    with pytest.raises(errors.UsageError, match="write text or json"):
        log.configure()
