"""Objects to JSON text and back."""

from __future__ import annotations

import collections
import dataclasses
import datetime
import decimal
import enum
import json
import pathlib
import subprocess
import sys
import uuid
from typing import Any

import msgspec
import pytest

from simpleflow.data import converter

coder = converter.Converter()


class Color(enum.Enum):
    RED = "red"
    PAIR = (1, 2)


class Level(enum.IntEnum):
    HIGH = 3


@dataclasses.dataclass
class Point:
    y: int
    x: Any = None


class Tagged(msgspec.Struct, tag="t", rename="camel"):
    some_field: Any


class Text(str):
    pass


Pair = collections.namedtuple("Pair", "a b")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({"b": [1, 2.5, True, None], "a": "é\n"}, '{"a":"é\\n","b":[1,2.5,true,null]}'),
        ((1, (2, 3)), "[1,[2,3]]"),
        (Pair(1, 2), "[1,2]"),
        ({3, 1, 2}, "[1,2,3]"),
        ({1, "b", None}, '["b",1,null]'),
        (frozenset([Color.RED]), '["red"]'),
        (Color.PAIR, "[1,2]"),
        (Level.HIGH, "3"),
        (Point(1, Point(2)), '{"x":{"x":null,"y":2},"y":1}'),
        (Point(1, range(2)), '{"x":[0,1],"y":1}'),
        (Tagged(1), '{"someField":1,"type":"t"}'),
        (Tagged(collections.deque([Text("x")])), '{"someField":["x"],"type":"t"}'),
        (datetime.datetime(2026, 1, 2, tzinfo=datetime.UTC), '"2026-01-02T00:00:00Z"'),
        (datetime.date(2026, 1, 2), '"2026-01-02"'),
        (decimal.Decimal("1.10"), '"1.10"'),
        (uuid.UUID(int=1), '"00000000-0000-0000-0000-000000000001"'),
        (b"abc", '"YWJj"'),
        ([memoryview(b"abc"), Text("k")], '["YWJj","k"]'),
        ({2: "a", None: 1, True: 2, 1.5: 3}, '{"1.5":3,"2":"a","null":1,"true":2}'),
        ({Color.RED: 1, datetime.date(2026, 1, 2): 2}, '{"2026-01-02":2,"red":1}'),
        ({Text("k"): Level.HIGH}, '{"k":3}'),
        (collections.ChainMap({"a": 1}), '{"a":1}'),
        ((n for n in range(2)), "[0,1]"),
        (pathlib.PurePosixPath("/a/b"), '"/a/b"'),
        (2**70, "1180591620717411303424"),
        ("", '""'),
    ],
)
def test_values_have_one_text(value: Any, text: str) -> None:
    assert coder.encode(value) == text


@pytest.mark.parametrize(
    ("value", "path", "why"),
    [
        (object(), "the value", "builtins.object"),
        ({"args": [{"items": [1, 2, 3, object()]}]}, r"args\[0\]\.items\[3\]", "no JSON form"),
        ({"kwargs": {"limit": float("nan")}}, r"kwargs\.limit", "nan"),
        ([1, [float("inf"), None]], r"\[1\]\[0\]", "inf"),
        ({"args": [Point(1, {"a b": print})]}, r"args\[0\]\.x\['a b'\]", "builtin_function_or_method"),
        ({"a": {(1, 2): 3}}, "a has the key", "tuple"),
        ({"a": "\ud800"}, "a is", "UTF-8"),
        ({"args": [Tagged({1: object()})]}, r"args\[0\]\.some_field\[1\]", "no JSON form"),
    ],
)
def test_what_has_no_json_form_is_named_by_its_path(value: Any, path: str, why: str) -> None:
    with pytest.raises(TypeError, match=f"^{path}") as caught:
        coder.encode(value)
    assert why in str(caught.value)


def test_loops_and_depths_are_refused() -> None:
    loop: list[Any] = [1]
    loop.append({"again": loop})
    with pytest.raises(TypeError, match=r"^\[1\]\.again holds itself"):
        coder.encode(loop)
    deep: Any = 1
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(TypeError, match="nested too deeply"):
        coder.encode(deep)


def test_the_same_object_twice_is_no_loop() -> None:
    shared = [Text(), None]
    assert coder.encode([shared, shared]) == '[["",null],["",null]]'


def test_text_comes_back_as_what_it_says() -> None:
    for text, value in (
        ('{"a":[1,2.5,null]}', {"a": [1, 2.5, None]}),
        ("plain words", "plain words"),
        ("", ""),
        ("simpleflow+s3://b/k 3", "simpleflow+s3://b/k 3"),
        ("123456789012345678901234567890", 123456789012345678901234567890),
        ("[1", "[1"),
    ):
        assert coder.decode(text) == value
    assert repr(coder.decode("[NaN]")) == "[nan]"
    assert coder.decode("[" * 100_000) == "[" * 100_000


@pytest.mark.needs_processes
def test_the_text_does_not_depend_on_the_hash_seed() -> None:
    code = (
        "from simpleflow.data import converter\n"
        "print(converter.Converter().encode([{'b', 'a', 'c'}, {'x', 1, None}, {'k%d' % n: n for n in range(5)}]))"
    )
    texts = {
        subprocess.run(
            [sys.executable, "-c", code], env={"PYTHONHASHSEED": seed}, capture_output=True, text=True
        ).stdout
        for seed in ("1", "2", "3")
    }
    assert len(texts) == 1
    assert json.loads(texts.pop())[0] == ["a", "b", "c"]
