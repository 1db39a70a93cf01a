"""Whether a request is well formed: types, required members, lengths, enums, and the prose rules.

Driven by the service model (``model.py``) and the rules beside it (``rules.py``). Each action's validators are made at
its first call: a quick one that accepts (``quick.py``), and the one here, which explains what is wrong. A value of the
wrong JSON type is a SerializationException, everything else one ValidationException that lists all it found, worded as
AWS does.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from . import errors, model, quick, rules

#: latest moment that a timestamp may name: the end of the year 9999
_LATEST = 253_402_300_799.0
#: problems that one answer lists at most
_LISTED = 10
#: characters of a value that a message shows
_SHOWN = 256

#: where a value stands: a linked list, so that nothing is formatted for good requests
Where = tuple[Any, str] | None


def check(action: str, request: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the request, without members that are null; raises Fault when it is not well formed.

    Members that the model does not know are kept and mean nothing, as on AWS. A request without nulls is returned as
    it is.
    """
    accepted = _QUICK.get(action) or _make_quick(action)
    try:
        msgspec.convert(request, accepted)
    except msgspec.ValidationError:
        request = explain(action, request)
    if action in _ACROSS and (message := rules.whole_request(action, request)):
        raise errors.validation(message)
    return request


def explain(action: str, request: Mapping[str, Any]) -> Mapping[str, Any]:
    """Do what ``check`` does for each member by itself, without the quick half and the rules across members."""
    validator = _VALIDATORS.get(action) or _compile_action(action)
    found = Found()
    validator.check(request, None, found)
    if found.problems:
        raise errors.validation(found.message())
    return _without_nulls(request) if found.nulls else request


def actions() -> tuple[str, ...]:
    """The names of all actions, sorted."""
    return tuple(sorted(model.load().operations))


class Found:
    """What one request was found to hold."""

    __slots__ = ("nulls", "problems")

    def __init__(self) -> None:
        self.problems: list[str] = []
        self.nulls = False

    def add(self, value: Any, where: Where, constraint: str) -> None:
        """Note that a value breaks a constraint."""
        shown = "null" if value is None else f"'{str(value)[:_SHOWN]}'"
        self.problems.append(f"Value {shown} at '{path(where)}' failed to satisfy constraint: {constraint}")

    def message(self) -> str:
        """All problems in one text, as AWS words it."""
        count = len(self.problems)
        listed = "; ".join(self.problems[:_LISTED])
        return f"{count} validation error{'s' if count > 1 else ''} detected: {listed}"


def path(where: Where) -> str:
    """Return 'decisions.1.member.startTimerDecisionAttributes.timerId' of a linked place."""
    parts: list[str] = []
    while where is not None:
        where, part = where
        parts.append(part)
    return ".".join(reversed(parts))


def _wrong_type(value: Any, wanted: str) -> errors.Fault:
    kinds = {bool: "TRUE_VALUE" if value is True else "FALSE_VALUE", str: "STRING_VALUE", dict: "START_OBJECT"}
    kinds |= {int: "NUMBER_VALUE", float: "NUMBER_VALUE", list: "START_ARRAY"}
    shown = kinds.get(type(value), type(value).__name__)
    return errors.protocol("SerializationException", f"{shown} can not be converted to {wanted}")


class Text:
    """A string: its length, its enum, its rule."""

    __slots__ = ("enum", "high", "low", "rule")

    def __init__(self, shape: model.Shape, rule: rules.Rule | None) -> None:
        self.low = shape.min or 0
        self.high = 2**31 if shape.max is None else shape.max
        self.enum = frozenset(shape.enum) if shape.enum else None
        self.rule = rule

    def check(self, value: Any, where: Where, found: Found) -> None:
        if not isinstance(value, str):
            raise _wrong_type(value, "a String")
        size = len(value)
        if size < self.low:
            found.add(value, where, f"Member must have length greater than or equal to {self.low}")
        elif size > self.high:
            found.add(value, where, f"Member must have length less than or equal to {self.high}")
        elif self.enum is not None and value not in self.enum:
            found.add(value, where, f"Member must satisfy enum value set: [{', '.join(sorted(self.enum))}]")
        elif self.rule is not None and (constraint := self.rule(value)):
            found.add(value, where, constraint)


class Whole:
    """An integer between two bounds."""

    __slots__ = ("high", "low")

    def __init__(self, shape: model.Shape) -> None:
        self.low = -(2**31) if shape.min is None else shape.min
        self.high = 2**31 - 1 if shape.max is None else shape.max

    def check(self, value: Any, where: Where, found: Found) -> None:
        if type(value) is not int:
            raise _wrong_type(value, "an Integer")
        if value < self.low:
            found.add(value, where, f"Member must have value greater than or equal to {self.low}")
        elif value > self.high:
            found.add(value, where, f"Member must have value less than or equal to {self.high}")


class Truth:
    """True or false."""

    __slots__ = ()

    def check(self, value: Any, where: Where, found: Found) -> None:
        if not isinstance(value, bool):
            raise _wrong_type(value, "a Boolean")


class Moment:
    """A timestamp: seconds since the epoch."""

    __slots__ = ()

    def check(self, value: Any, where: Where, found: Found) -> None:
        if type(value) is not int and type(value) is not float:
            raise _wrong_type(value, "a Timestamp")
        if not -_LATEST <= value <= _LATEST:  # NaN and integers too large for a float, too
            found.add(value, where, "Member must be a number of seconds since 1970-01-01T00:00:00Z, up to year 9999")


class Sequence:
    """A list: its length, its members."""

    __slots__ = ("high", "low", "member")

    def __init__(self, shape: model.Shape, member: Any) -> None:
        self.low = shape.min or 0
        self.high = 2**31 if shape.max is None else shape.max
        self.member = member

    def check(self, value: Any, where: Where, found: Found) -> None:
        if not isinstance(value, list | tuple):
            raise _wrong_type(value, "a List")
        if not self.low <= len(value) <= self.high:
            bound = f"less than or equal to {self.high}" if value else f"greater than or equal to {self.low}"
            found.add(f"[{', '.join(str(each) for each in value)}]", where, f"Member must have length {bound}")
        for number, each in enumerate(value, 1):
            place = (where, f"{number}.member")
            if each is None:
                found.add(None, place, "Member must not be null")
            else:
                self.member.check(each, place, found)


class Structure:
    """An object: its required members, and each member that it has."""

    __slots__ = ("fields", "name", "required")

    def __init__(self, name: str) -> None:
        self.name = name
        self.fields: dict[str, Any] = {}
        self.required: frozenset[str] = frozenset()

    def check(self, value: Any, where: Where, found: Found) -> None:
        if not isinstance(value, Mapping):
            raise _wrong_type(value, self.name)
        if not self.required <= value.keys():
            for name in sorted(self.required - value.keys()):
                found.add(None, (where, name), "Member must not be null")
        for name, each in value.items():
            field = self.fields.get(name)
            if field is None:
                continue
            if each is None:
                found.nulls = True
                if name in self.required:
                    found.add(None, (where, name), "Member must not be null")
            else:
                field.check(each, (where, name), found)


class Decision(Structure):
    """One decision: the attributes that its type needs must be there; those of other types mean nothing."""

    __slots__ = ("attributes",)

    def __init__(self, name: str) -> None:
        super().__init__(name)
        #: decision type -> the member that holds its attributes
        self.attributes: dict[str, str] = {}

    def check(self, value: Any, where: Where, found: Found) -> None:
        before = len(found.problems)
        super().check(value, where, found)
        if len(found.problems) == before:
            member = self.attributes[value["decisionType"]]
            if value.get(member) is None:
                self.fields[member].check({}, (where, member), found)


_QUICK: Final[dict[str, Any]] = {}
_VALIDATORS: Final[dict[str, Structure]] = {}
_SHAPES: Final[dict[tuple[str, rules.Rule | None], Any]] = {}
#: actions with rules about several members
_ACROSS: Final = frozenset({"RespondDecisionTaskCompleted", *rules.FILTERS})


def _make_quick(action: str) -> Any:
    if action not in model.load().operations:
        raise errors.protocol("UnknownOperationException", f"The operation {action!r} does not exist")
    made = _QUICK[action] = quick.builder().request(action)
    return made


def _compile_action(action: str) -> Structure:
    loaded = model.load()
    compiled: Structure = _compile(loaded, loaded.operations[action].input.shape, None)
    _VALIDATORS[action] = compiled
    return compiled


def _compile(loaded: model.Model, name: str, rule: rules.Rule | None) -> Any:
    known = _SHAPES.get((name, rule))
    if known is not None:
        return known
    shape = loaded.shapes[name]
    made: Any
    match shape.type:
        case "structure":
            made = _SHAPES[name, rule] = Decision(name) if name == "Decision" else Structure(name)
            made.required = frozenset(shape.required)
            made.fields = {
                member: _compile(loaded, use.shape, rules.BY_MEMBER.get((name, member), rules.BY_SHAPE.get(use.shape)))
                for member, use in shape.members.items()
            }
            if isinstance(made, Decision):
                types = loaded.shapes[shape.members["decisionType"].shape].enum
                made.attributes = {each: f"{each[0].lower()}{each[1:]}DecisionAttributes" for each in types}
        case "list":
            assert shape.member is not None
            member = shape.member.shape
            made = Sequence(shape, _compile(loaded, member, rules.BY_SHAPE.get(member)))
        case "string":
            made = Text(shape, rule)
        case "integer" | "long":
            made = Whole(shape)
        case "boolean":
            made = Truth()
        case "timestamp":
            made = Moment()
        case unknown:
            raise model.ModelMissing(f"shape {name} of the service model has the unknown type {unknown!r}")
    _SHAPES[name, rule] = made
    return made


def _without_nulls(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _without_nulls(each) for key, each in value.items() if each is not None}
    if isinstance(value, list | tuple):
        return [_without_nulls(each) for each in value]
    return value
