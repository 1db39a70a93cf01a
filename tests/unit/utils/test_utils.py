from __future__ import annotations

import datetime
import json
import uuid
from collections.abc import Callable
from typing import Any

import lazy_object_proxy
import pytest

from simpleflow import utils
from simpleflow.utils import retry


def test_names_of_modules_classes_and_methods() -> None:
    assert utils.import_from_module("json.dumps") is json.dumps
    assert utils.import_from_module("json.decoder.JSONDecoder.decode") is json.JSONDecoder.decode
    assert utils.full_object_name(json.JSONDecoder) == "json.decoder.JSONDecoder"
    assert utils.full_object_name(json.dumps) == "json.dumps"
    assert utils.full_object_name(datetime.timedelta()) == "datetime.timedelta"


@pytest.mark.parametrize("path", ["json.nothing", "no_such_module_at_all.x", "json", "json..x", ""])
def test_a_path_that_leads_nowhere_is_named(path: str) -> None:
    with pytest.raises(ImportError, match=path or "''"):
        utils.import_from_module(path)


def test_an_error_inside_a_module_is_not_taken_for_a_wrong_path(tmp_path: Any, monkeypatch: Any) -> None:
    (tmp_path / "needs_more.py").write_text("import not_installed_here\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModuleNotFoundError, match="not_installed_here"):
        utils.import_from_module("needs_more.f")


def test_issubclass_takes_anything() -> None:
    assert utils.issubclass_(bool, int)
    assert not utils.issubclass_(3, int)


def test_json_of_values_that_json_refuses() -> None:
    moment = datetime.datetime(2026, 1, 2, 3, 4, 5, tzinfo=datetime.timezone(datetime.timedelta(hours=1)))
    number = uuid.UUID(int=7)
    value = {"t": moment, "s": {3, 1}, "u": number, "b": b"\xffx", "g": (n for n in (1, 2))}
    assert json.loads(utils.json_dumps(value)) == {
        "t": "2026-01-02T03:04:05+01:00",
        "s": [1, 3],
        "u": str(number),
        "b": "\ufffdx",
        "g": [1, 2],
    }
    with pytest.raises(TypeError, match="object"):
        utils.json_dumps(object())


def test_json_for_people_and_for_the_wire() -> None:
    assert utils.json_dumps({"z": 1, "a": "b"}) == '{"a":"b","z":1}'
    assert utils.json_dumps({"z": 1, "a": [1, 2]}, compact=False) == '{"z": 1, "a": [1, 2]}'
    assert utils.json_dumps({"z": 1, "a": 2}, pretty=True) == '{\n    "a": 2,\n    "z": 1\n}'
    moment = datetime.datetime(1970, 1, 1, 0, 0, 0, 123456, tzinfo=datetime.UTC)
    assert utils.json_dumps({"start": moment}) == '{"start":"1970-01-01T00:00:00.123Z"}'
    assert utils.json_dumps([lazy_object_proxy.Proxy(lambda: {"far": 3})]) == '[{"far":3}]'
    assert utils.json_dumps(lazy_object_proxy.Proxy(lambda: "far")) == '"far"'


def test_builtins_have_short_names() -> None:
    assert utils.import_from_module("ValueError") is ValueError
    assert utils.format_exc_type(ValueError) == "ValueError"
    assert utils.format_exc_type(json.JSONDecodeError) == "json.decoder.JSONDecodeError"
    assert utils.hex_hash("") == utils.hex_hash(None) == "0"
    assert utils.hex_hash("run") == "2b10156"


def test_json_text_and_other_text() -> None:
    assert utils.json_loads_or_raw("[1]") == [1]
    assert utils.json_loads_or_raw("plain words") == "plain words"
    assert utils.json_loads_or_raw(None) is None


def test_nones_are_removed_at_any_depth() -> None:
    assert utils.remove_none({"a": None, "b": [1, None, {"c": None}]}) == {"b": [1, {}]}


def _failing(times: int, error: type[Exception] = ValueError) -> tuple[Callable[[], str], list[int]]:
    calls: list[int] = []

    def function() -> str:
        calls.append(len(calls))
        if len(calls) <= times:
            raise error("again")
        return "done"

    return function, calls


def test_retry_gives_up_after_the_last_attempt() -> None:
    function, calls = _failing(2)
    assert retry.with_delay(3, retry.constant(0))(function)() == "done"
    function, calls = _failing(3)
    with pytest.raises(ValueError, match="again"):
        retry.with_delay(3, retry.constant(0))(function)()
    assert len(calls) == 3


def test_retry_calls_once_when_nobody_says_how_often_and_logs_as_a_logger_does() -> None:
    function, calls = _failing(3)
    said: list[tuple[Any, ...]] = []
    with pytest.raises(ValueError, match="again"):
        retry.with_delay(delay=retry.constant(0), log_with=lambda *words: said.append(words))(function)()
    assert len(calls) == 1
    assert said[0][0] % said[0][1:]


def test_delays_that_grow_are_at_least_one_second() -> None:
    assert all(1 <= retry.exponential(attempt) < 2**attempt + 1 for attempt in range(5))


def test_retry_leaves_other_exceptions_alone() -> None:
    function, calls = _failing(1, KeyError)
    with pytest.raises(KeyError):
        retry.with_delay(5, retry.constant(0), except_on=KeyError)(function)()
    assert len(calls) == 1
