"""What a type hint names comes back as what it was: arguments, results, workflows, children, local activities."""

from __future__ import annotations

import dataclasses
import datetime
import decimal
import enum
import pathlib
import re
import typing
import uuid
from typing import Any

import msgspec
import pydantic
import pytest

from simpleflow import Workflow, activity
from simpleflow.data import converter, typed
from tests.backends import places


class Colour(enum.Enum):
    RED = "red"


class Level(enum.IntEnum):
    LOW = 1


@dataclasses.dataclass(frozen=True)
class Point:
    x: decimal.Decimal
    at: datetime.datetime | None = None


class Frame(msgspec.Struct, frozen=True):
    number: int
    points: tuple[Point, ...] = ()


class Model(pydantic.BaseModel):
    name: str = pydantic.Field(alias="Name")
    when: datetime.date
    inner: list[Point] = []


class Pair(typing.NamedTuple):
    left: uuid.UUID
    right: bytes


class Row(typing.TypedDict):
    when: datetime.date


AT = datetime.datetime(2026, 3, 1, 12, 30, tzinfo=datetime.UTC)
ID = uuid.UUID("12345678-1234-5678-1234-567812345678")
VALUES: list[tuple[Any, Any]] = [
    (AT, datetime.datetime),
    (datetime.date(2026, 3, 1), datetime.date),
    (datetime.timedelta(hours=1, microseconds=5), datetime.timedelta),
    (decimal.Decimal("1.10"), decimal.Decimal),
    (ID, uuid.UUID),
    (b"\x00\xff", bytes),
    ({1, 2}, set[int]),
    (frozenset({ID}), frozenset[uuid.UUID]),
    ((1, "a"), tuple[int, str]),
    (Colour.RED, Colour),
    (Level.LOW, Level),
    ({1: AT}, dict[int, datetime.datetime]),
    ({Colour.RED: [ID]}, dict[Colour, list[uuid.UUID]]),
    (Point(decimal.Decimal(1), AT), Point),
    (Frame(3, (Point(decimal.Decimal("0.5")),)), Frame),
    (Model(Name="n", when=datetime.date(2026, 1, 1), inner=[Point(decimal.Decimal(2))]), Model),
    ([Model(Name="n", when=datetime.date(2026, 1, 1))], list[Model]),
    (Pair(ID, b"x"), Pair),
    ({"when": datetime.date(2026, 1, 1)}, Row),
    (None, Point | None),
    (pathlib.Path("/tmp/x"), pathlib.Path),
    (AT, typing.Annotated[datetime.datetime, "when"]),
]


@pytest.mark.parametrize(("value", "hint"), VALUES, ids=[str(hint) for _, hint in VALUES])
def test_values_come_back(value: Any, hint: Any) -> None:
    coder = converter.Converter()
    assert typed.followable(hint)
    back = typed.convert(coder.decode(coder.encode(value)), hint, "here")
    assert back == value
    assert type(back) is type(value)


@pytest.mark.parametrize(
    "hint", [int, str, Any, list, dict, dict[str, Any], list[int], str | None, typing.Literal["a"], object, float]
)
def test_hints_of_plain_json_check_nothing(hint: Any) -> None:
    assert not typed.followable(hint)


def test_a_value_that_does_not_fit_is_left_as_it_came(caplog: pytest.LogCaptureFixture) -> None:
    def old(when: datetime.datetime, either: datetime.datetime | uuid.UUID, *more: Colour, **named: Any) -> None: ...

    with caplog.at_level("WARNING"):
        assert typed.arguments(old, ["next week", "x", "red", "blue"], {"a": 1}) == (
            ["next week", "x", Colour.RED, "blue"], {"a": 1},
        )  # fmt: skip
        typed.arguments(old, ["next week"], {})
    said = [each.getMessage() for each in caplog.records if "'when'" in each.getMessage()]
    assert len(said) == 1
    assert "old is not what its type hint says" in said[0]
    assert typed.arguments(len, [1], {}) == ([1], {})


def test_hints_that_cannot_be_read_are_not_followed() -> None:
    def only_for_checkers(value: Nowhere) -> Nowhere:  # type: ignore[name-defined]  # noqa: F821
        return value

    assert typed.arguments(only_for_checkers, ["x"], {}) == (["x"], {})
    assert typed.result_hint(only_for_checkers) is None


@activity.with_attributes(name="typed.move", version="1")
def move(point: Point, by: decimal.Decimal, *, ids: set[uuid.UUID]) -> Point:
    assert isinstance(point, Point)
    assert isinstance(point.at, datetime.datetime)
    assert isinstance(by, decimal.Decimal)
    assert ids == {ID}
    return Point(point.x + by, point.at)


@activity.with_attributes(name="typed.Shift", version="1")
class Shift:
    def __init__(self, frame: Frame) -> None:
        self.frame = frame

    def execute(self) -> Model:
        assert isinstance(self.frame, Frame)
        return Model(Name=str(self.frame.number), when=AT.date(), inner=list(self.frame.points))


class Child(Workflow):
    name, version, task_list = "typed-child", "1", "d"

    def run(self, point: Point) -> tuple[Point, Colour]:
        assert isinstance(point, Point)
        return point, Colour.RED


class Parent(Workflow):
    name, version, task_list = "typed-parent", "1", "d"

    def run(self, start: datetime.datetime, colours: list[Colour]) -> Any:
        assert (type(start), colours) == (datetime.datetime, [Colour.RED])
        moved = self.submit(move, Point(decimal.Decimal(1), start), decimal.Decimal("0.5"), ids={ID})
        again = self.submit(move, moved, decimal.Decimal(1), ids={ID})  # a future that is not done: its text goes on
        assert again.result == Point(decimal.Decimal("2.5"), start)
        assert moved.result == Point(decimal.Decimal("1.5"), start)
        assert moved.then(lambda point: point.x).result == decimal.Decimal("1.5")
        local = self.submit_local(move, moved.result, decimal.Decimal(1), ids={ID})
        assert isinstance(local.result, Point)
        model = self.submit(Shift, Frame(7, (moved.result,))).result
        assert isinstance(model, Model)
        assert model.inner == [moved.result]
        point, colour = self.submit(Child, moved.result).result
        assert (point, colour) == (moved.result, Colour.RED)
        return model


@pytest.mark.usefixtures("backend")
def test_through_a_workflow() -> None:
    with places.environment(Parent, Child) as environment:
        result = environment.run(Parent, AT, [Colour.RED])
    assert result["Name"] == "7"


class Refused(Workflow):
    name, version, task_list = "typed-refused", "1", "d"

    def run(self, what: str) -> Any:
        deep = {"args": {"items": [1, {"bad": object()}]}, "key": {(1, 2): 3}, "own": Point(object(), None)}  # type: ignore[arg-type]
        try:
            self.submit(move, deep[what], 1, ids=[])
        except TypeError as error:
            return str(error)
        return "it was taken"


@pytest.mark.parametrize(
    ("what", "path"),
    [
        ("args", r"args\[0\]\.items\[1\]\.bad is <object"),
        ("key", r"args\[0\] has the key \(1, 2\)"),
        ("own", r"args\[0\]\.x is"),
    ],
)
@pytest.mark.usefixtures("backend")
def test_what_has_no_form_is_refused_at_submit_by_its_path(what: str, path: str) -> None:
    with places.environment(Refused) as environment:
        said = environment.run(Refused, what)
    assert re.search(path, said), said
