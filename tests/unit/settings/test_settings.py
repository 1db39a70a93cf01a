from __future__ import annotations

import sys
import types
from collections.abc import Iterator

import pytest

from simpleflow import activity, settings
from simpleflow.core import errors


@pytest.fixture(autouse=True)
def _fresh() -> Iterator[None]:
    settings.reload()
    yield
    settings.reload()


def test_default_then_module_then_environment_then_put(monkeypatch: pytest.MonkeyPatch) -> None:
    assert settings.ACTIVITY_DEFAULT_TIMEOUT == 300
    module = types.ModuleType("my_settings")
    module.ACTIVITY_DEFAULT_TIMEOUT = 7  # type: ignore[attr-defined]
    module.OWN = "kept"  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "my_settings", module)
    monkeypatch.setenv("SIMPLEFLOW_SETTINGS_MODULE", "my_settings")
    settings.reload()
    assert settings.ACTIVITY_DEFAULT_TIMEOUT == 7
    assert settings.OWN == "kept"
    monkeypatch.setenv("ACTIVITY_DEFAULT_TIMEOUT", "11")
    settings.reload()
    assert settings.ACTIVITY_DEFAULT_TIMEOUT == 11
    settings.put_setting("ACTIVITY_DEFAULT_TIMEOUT", 13)
    assert settings.ACTIVITY_DEFAULT_TIMEOUT == 13


@pytest.mark.parametrize(("text", "value"), [("1", True), ("Yes", True), ("ON", True), ("false", False), ("no", False)])
def test_booleans(monkeypatch: pytest.MonkeyPatch, text: str, value: bool) -> None:
    monkeypatch.setenv("SIMPLEFLOW_S3_SSE", text)
    assert settings.SIMPLEFLOW_S3_SSE is value


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("SIMPLEFLOW_S3_SSE", "perhaps"),
        ("SWF_CONNECTION_RETRIES", "many"),
        ("LOGGING", "[1]"),
        ("ACTIVITY_HEARTBEAT_TIMEOUT", "x"),
        ("ACTIVITY_SCHEDULE_TO_START_TIMEOUT", "soon"),
    ],
)
def test_a_value_of_the_wrong_type_names_the_variable(monkeypatch: pytest.MonkeyPatch, name: str, text: str) -> None:
    monkeypatch.setenv(name, text)
    with pytest.raises(errors.UsageError, match=name):
        getattr(settings, name)


def test_a_missing_settings_module_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIMPLEFLOW_SETTINGS_MODULE", "no_such_module_of_mine")
    with pytest.raises(errors.UsageError, match="no_such_module_of_mine"):
        settings.items()


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="NO_SUCH"):
        settings.NO_SUCH


def test_printing_masks_secrets(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    settings.configure({"MY_SECRET": "hush", "MY_PLAIN": "seen"})
    settings.print_settings()
    printed = capsys.readouterr().out
    assert "hush" not in printed
    assert "MY_PLAIN='seen'" in printed


def test_queueing_has_no_limit_and_an_execution_has_a_year() -> None:
    assert settings.ACTIVITY_SCHEDULE_TO_START_TIMEOUT == settings.ACTIVITY_SCHEDULE_TO_CLOSE_TIMEOUT == "NONE"
    assert settings.WORKFLOW_DEFAULT_EXECUTION_TIME == 31_536_000
    assert settings.ACTIVITY_START_TO_CLOSE_TIMEOUT == settings.ACTIVITY_HEARTBEAT_TIMEOUT == 300


def test_settings_bring_the_old_limits_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACTIVITY_SCHEDULE_TO_CLOSE_TIMEOUT", "300")
    monkeypatch.setenv("ACTIVITY_HEARTBEAT_TIMEOUT", "NONE")
    monkeypatch.setenv("WORKFLOW_DEFAULT_EXECUTION_TIME", "3600")
    assert settings.ACTIVITY_SCHEDULE_TO_CLOSE_TIMEOUT == 300
    assert settings.ACTIVITY_HEARTBEAT_TIMEOUT == "NONE"
    assert settings.WORKFLOW_DEFAULT_EXECUTION_TIME == 3600


def test_two_timeouts_follow_the_general_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACTIVITY_DEFAULT_TIMEOUT", "70")
    monkeypatch.setenv("ACTIVITY_HEARTBEAT_TIMEOUT", "20")
    assert settings.ACTIVITY_START_TO_CLOSE_TIMEOUT == settings.items()["ACTIVITY_START_TO_CLOSE_TIMEOUT"] == 70
    assert settings.ACTIVITY_HEARTBEAT_TIMEOUT == settings.items()["ACTIVITY_HEARTBEAT_TIMEOUT"] == 20


def test_an_activity_takes_what_the_settings_say_when_it_is_declared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACTIVITY_SCHEDULE_TO_START_TIMEOUT", "300")
    old = activity.with_attributes(heartbeat_timeout=5)(len)
    assert (old.task_schedule_to_start_timeout, old.task_heartbeat_timeout) == (300, 5)
    assert "task_heartbeat_timeout" not in old.default_timeouts
    changed = old.options(start_to_close_timeout=9)
    assert "task_start_to_close_timeout" in old.default_timeouts
    assert "task_start_to_close_timeout" not in changed.default_timeouts
