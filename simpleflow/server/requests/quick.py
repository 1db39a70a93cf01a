"""The quick half of validation: one msgspec type per action that accepts almost every good request, in C.

What it accepts is good; what it does not accept may still be (nulls, the rarer forms of durations), and
``validation.py``, which explains every refusal, decides. A test holds the two together.
"""

from __future__ import annotations

import functools
import re
import types
from typing import Annotated, Any, Literal

import msgspec

from . import model, rules

#: rule -> texts that certainly satisfy it
_PATTERNS: dict[rules.Rule, str] = {
    rules.name: r"^(?!arn$)[^:/|\u0000-\u001f\u007f-\u009f]*\Z",
    rules.trimmed: r"^(?!arn$)(?!\s)[^:/|\u0000-\u001f\u007f-\u009f]*(?<!\s)\Z",
    rules.seconds: r"^[0-9]{1,7}\Z",
    rules.seconds_if_given: r"^[0-9]{0,7}\Z",
    rules.seconds_or_none: r"^(?:NONE|[0-9]{0,7})\Z",
    rules.days: r"^(?:NONE|[0-8]?[0-9])\Z",
    rules.priority: r"^-?[0-9]{1,9}\Z",
    rules.tag_text: r"^[\w\s.:/=+@-]*\Z",
}
_WIDE = 2**31


class Builder:
    """Makes the types of one service model; each shape once."""

    def __init__(self, loaded: model.Model) -> None:
        self._model = loaded
        self._made: dict[tuple[str, rules.Rule | None], Any] = {}

    def request(self, action: str) -> Any:
        """Return the type of an action's request; raises KeyError for an unknown action."""
        return self._type(self._model.operations[action].input.shape, None)

    def _type(self, name: str, rule: rules.Rule | None) -> Any:
        known = self._made.get((name, rule))
        if known is None:
            known = self._made[name, rule] = self._make(name, self._model.shapes[name], rule)
        return known

    def _make(self, name: str, shape: model.Shape, rule: rules.Rule | None) -> Any:
        match shape.type:
            case "structure":
                return self._decision(shape) if name == "Decision" else self._structure(name, shape)
            case "list":
                assert shape.member is not None
                member = self._type(shape.member.shape, rules.BY_SHAPE.get(shape.member.shape))
                return Annotated[
                    types.GenericAlias(list, (member,)), msgspec.Meta(max_length=shape.max, min_length=shape.min)
                ]
            case "string" if shape.enum:
                return Literal[shape.enum]
            case "string":
                pattern = None if rule is None else re.compile(_PATTERNS[rule]).pattern
                return Annotated[str, msgspec.Meta(min_length=shape.min, max_length=shape.max, pattern=pattern)]
            case "integer" | "long":
                low, high = (
                    (-_WIDE if shape.min is None else shape.min),
                    (_WIDE - 1 if shape.max is None else shape.max),
                )
                return Annotated[int, msgspec.Meta(ge=low, le=high)]
            case "boolean":
                return bool
            case "timestamp":
                return Annotated[float, msgspec.Meta(ge=0, le=253_402_300_799.0)]
            case unknown:
                raise model.ModelMissing(f"shape {name} of the service model has the unknown type {unknown!r}")

    def _fields(self, name: str, shape: model.Shape) -> list[Any]:
        fields: list[Any] = []
        for member, use in shape.members.items():
            kind = self._type(use.shape, rules.BY_MEMBER.get((name, member), rules.BY_SHAPE.get(use.shape)))
            if member in shape.required:
                fields.append((member, kind))
            else:
                fields.append((member, kind | msgspec.UnsetType, msgspec.UNSET))
        return fields

    def _structure(self, name: str, shape: model.Shape) -> Any:
        return msgspec.defstruct(name, self._fields(name, shape), kw_only=True, gc=False)

    def _decision(self, shape: model.Shape) -> Any:
        """A union of one struct per decision type: the attributes of its own type are required where they must be."""
        names = self._model.shapes[shape.members["decisionType"].shape].enum
        others = [each for each in self._fields("Decision", shape) if each[0] != "decisionType"]
        union: Any = None
        for decision in names:
            own = f"{decision[0].lower()}{decision[1:]}DecisionAttributes"
            target = shape.members[own].shape
            needed = bool(self._model.shapes[target].required)
            fields = [(own, self._type(target, None)) if needed and each[0] == own else each for each in others]
            made = msgspec.defstruct(decision, fields, kw_only=True, gc=False, tag_field="decisionType", tag=decision)
            union = made if union is None else union | made
        return union


@functools.cache
def builder() -> Builder:
    """Return the builder of the installed service model."""
    return Builder(model.load())
