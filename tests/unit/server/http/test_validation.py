"""Requests made from the service model: good ones pass, each single flaw is refused with its own words."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simpleflow.server.requests import errors, model, quick, rules, validation

MODEL = model.load()
ACTIONS = validation.actions()
#: a good text where a rule asks for one
GOOD = {"DurationInDays": "7", "DurationInSeconds": "60", "DurationInSecondsOptional": "60", "TaskPriority": "-5"}
#: of members that exclude each other, those that the good request leaves out
OPEN_FILTERS = frozenset({"executionFilter", "typeFilter"})
CLOSED_FILTERS = OPEN_FILTERS | {"closeTimeFilter", "closeStatusFilter"}
LEFT_OUT = {
    "CountClosedWorkflowExecutions": CLOSED_FILTERS,
    "CountOpenWorkflowExecutions": OPEN_FILTERS,
    "ListClosedWorkflowExecutions": CLOSED_FILTERS,
    "ListOpenWorkflowExecutions": OPEN_FILTERS,
}


def good(name: str, without: frozenset[str] = frozenset()) -> Any:
    """A good value of a shape, with every member."""
    shape = MODEL.shapes[name]
    match shape.type:
        case "structure" if name == "Decision":
            return decision("ScheduleActivityTask")
        case "structure":
            return {member: good(use.shape) for member, use in shape.members.items() if member not in without}
        case "list":
            assert shape.member is not None
            return [good(shape.member.shape)]
        case "string":
            return shape.enum[0] if shape.enum else GOOD.get(name, "some text")
        case "integer":
            return 1
        case "boolean":
            return True
        case _:
            return 1767225600.5


def attributes(kind: str) -> str:
    return f"{kind[0].lower()}{kind[1:]}DecisionAttributes"


def decision(kind: str) -> dict[str, Any]:
    member = attributes(kind)
    return {"decisionType": kind, member: good(MODEL.shapes["Decision"].members[member].shape)}


def request(action: str) -> dict[str, Any]:
    made: dict[str, Any] = good(MODEL.operations[action].input.shape, LEFT_OUT.get(action, frozenset()))
    if action == "RespondDecisionTaskCompleted":
        kinds = [each for each in MODEL.shapes["DecisionType"].enum if each not in rules.CLOSING]
        made["decisions"] = [decision(each) for each in (*kinds, "FailWorkflowExecution")]
    return made


@dataclasses.dataclass(frozen=True, kw_only=True)
class Place:
    """One member somewhere in an action's request."""

    action: str
    keys: tuple[str | int, ...]
    shape: str
    required: bool
    rule: rules.Rule | None

    def __str__(self) -> str:
        return f"{self.action}.{'.'.join(map(str, self.keys))}"

    def put(self, value: Any) -> dict[str, Any]:
        """The good request with this value there; ``...`` takes the member away."""
        made = copy.deepcopy(request(self.action))
        inner: Any = made
        for key in self.keys[:-1]:
            inner = inner[key]
        if value is ...:
            del inner[self.keys[-1]]
        else:
            inner[self.keys[-1]] = value
        return made

    @property
    def words(self) -> str:
        parts = [f"{key + 1}.member" if isinstance(key, int) else key for key in self.keys]
        return f"at '{'.'.join(parts)}' failed to satisfy constraint: Member must "


def places(action: str) -> Iterator[Place]:
    def walk(name: str, value: Any, keys: tuple[str | int, ...]) -> Iterator[Place]:
        shape = MODEL.shapes[name]
        if shape.type == "structure":
            for member, use in shape.members.items():
                if member in value:
                    rule = rules.BY_MEMBER.get((name, member), rules.BY_SHAPE.get(use.shape))
                    place = (*keys, member)
                    yield Place(
                        action=action, keys=place, shape=use.shape, required=member in shape.required, rule=rule
                    )
                    yield from walk(use.shape, value[member], place)
        elif shape.type == "list":
            assert shape.member is not None
            for number, each in enumerate(value):
                place = (*keys, number)
                rule = rules.BY_SHAPE.get(shape.member.shape)
                yield Place(action=action, keys=place, shape=shape.member.shape, required=False, rule=rule)
                yield from walk(shape.member.shape, each, place)

    yield from walk(MODEL.operations[action].input.shape, request(action), ())


PLACES = [place for action in ACTIONS for place in places(action)]


def refusal(action: str, made: Any) -> errors.Fault:
    with pytest.raises(errors.Fault) as caught:
        validation.check(action, made)
    return caught.value


def test_the_model_has_all_actions() -> None:
    assert len(ACTIONS) == 39
    assert len(PLACES) > 250


@pytest.mark.parametrize("action", ACTIONS)
def test_a_request_with_every_member_is_good_and_both_halves_say_so(action: str) -> None:
    made = request(action)
    assert validation.check(action, made) is made
    assert validation.explain(action, made) is made
    msgspec.convert(made, quick.builder().request(action))


@pytest.mark.parametrize("place", [each for each in PLACES if each.required], ids=str)
def test_required_members(place: Place) -> None:
    for value in (..., None):
        fault = refusal(place.action, place.put(value))
        assert fault.type == "com.amazon.coral.validate#ValidationException"
        assert f"Value null {place.words}not be null" in fault.message


@pytest.mark.parametrize("place", [each for each in PLACES if not each.required], ids=str)
def test_other_members_may_be_absent_or_null(place: Place) -> None:
    if isinstance(place.keys[-1], int):
        assert "not be null" in refusal(place.action, place.put(None)).message
        return
    its_own = len(place.keys) == 3 and place.keys[0] == "decisions"  # the good decisions hold no attributes of others
    if (its_own and MODEL.shapes[place.shape].required) or place.keys == ("startTimeFilter",):
        assert refusal(place.action, place.put(...)).code == "ValidationException"
        assert refusal(place.action, place.put(None)).code == "ValidationException"
        return
    without = place.put(...)
    assert validation.check(place.action, without) is without
    assert validation.check(place.action, place.put(None)) == without


@pytest.mark.parametrize("place", PLACES, ids=str)
def test_lengths_bounds_and_enums(place: Place) -> None:
    shape = MODEL.shapes[place.shape]
    over: Any
    match shape.type:
        case "string" if shape.enum:
            assert f"{place.words}satisfy enum value set: [" in refusal(place.action, place.put("NOTHING")).message
        case "string":
            if shape.max is not None:
                over = "1" * (shape.max + 1)
                bound = f"have length less than or equal to {shape.max}"
                assert place.words + bound in refusal(place.action, place.put(over)).message
                if place.rule is None:
                    validation.check(place.action, place.put("1" * shape.max))
            if shape.min:
                bound = f"have length greater than or equal to {shape.min}"
                assert place.words + bound in refusal(place.action, place.put("")).message
        case "integer":
            over = (shape.max if shape.max is not None else 2**31 - 1) + 1
            assert f"{place.words}have value less than" in refusal(place.action, place.put(over)).message
            under = (shape.min if shape.min is not None else -(2**31)) - 1
            assert f"{place.words}have value greater than" in refusal(place.action, place.put(under)).message
        case "list" if shape.max is not None:
            assert shape.member is not None
            over = [good(shape.member.shape)] * (shape.max + 1)
            assert f"{place.words}have length less than" in refusal(place.action, place.put(over)).message
        case "timestamp":
            for over in (1e300, 10**400, float("inf"), float("nan")):
                assert f"{place.words}be a number of seconds" in refusal(place.action, place.put(over)).message
            validation.check(place.action, place.put(-1))


WRONG = {
    "string": [1, 1.5, True, [], {}, b"x"],
    "integer": ["1", 1.0, True, [], {}],
    "boolean": ["true", 1, 0, []],
    "timestamp": ["2026-01-01", True, [], {}],
    "structure": ["text", 1, [], True],
    "list": ["text", 1, {}, True],
}


@pytest.mark.parametrize("place", PLACES, ids=str)
def test_wrong_json_types(place: Place) -> None:
    for value in WRONG[MODEL.shapes[place.shape].type]:
        fault = refusal(place.action, place.put(value))
        assert fault.type == "com.amazon.coral.service#SerializationException"
        assert "can not be converted to" in fault.message


BAD = {
    rules.name: ["a:b", "a/b", "a|b", "a\nb", "\u0000", "\u007f", "\u009f", "arn"],
    rules.trimmed: ["a:b", " a", "a ", "a\t", "arn", "\u00a0a"],
    rules.seconds: ["NONE", "-1", "1.5", "x", " 1", "31536001", "1\n", "\u0661"],
    rules.seconds_if_given: ["NONE", "-1", "31536001", "1e3"],
    rules.seconds_or_none: ["none", "-1", "31536001", "99999999", "NONE\n"],
    rules.days: ["none", "91", "-1", "x", "7 "],
    rules.priority: ["", "x", "1.5", "2147483648", "-2147483649", "NONE"],
    rules.tag_text: ["a,b", "a;b", "a!", "\u0000"],
}
FINE = {
    rules.name: ["arn:".rstrip(":") + "x", "a b", " a", "é", "日本", "a.b-c_d", "\u00a0", "Arn", "x" * 64],
    rules.trimmed: ["a b", "日本", "arnx", "a\u3000b"],
    rules.seconds: ["0", "31536000", "00000060", "9999999"],
    rules.seconds_if_given: ["", "0", "31536000"],
    rules.seconds_or_none: ["", "NONE", "0", "31536000", "00000001"],
    rules.days: ["NONE", "0", "90", "007"],
    rules.priority: ["0", "-2147483648", "2147483647", "+7", "007"],
    rules.tag_text: ["a b", "_.:/=+-@", "日本", "é1", "\t"],
}


@pytest.mark.parametrize("place", [each for each in PLACES if each.rule is not None], ids=str)
def test_prose_rules(place: Place) -> None:
    assert place.rule is not None
    shape = MODEL.shapes[place.shape]
    for value in BAD[place.rule]:
        assert place.words in refusal(place.action, place.put(value)).message
    for value in FINE[place.rule]:
        if (shape.min or 0) <= len(value) <= (shape.max or 99):
            validation.check(place.action, place.put(value))


def test_each_rule_has_its_values() -> None:
    assert set(BAD) == set(FINE) == {*rules.BY_SHAPE.values(), *rules.BY_MEMBER.values()}


@pytest.mark.parametrize("kind", MODEL.shapes["DecisionType"].enum)
def test_decisions_need_the_attributes_of_their_type(kind: str) -> None:
    def respond(*decisions: Any) -> dict[str, Any]:
        return {"taskToken": "t", "decisions": list(decisions)}

    member = attributes(kind)
    shape = MODEL.shapes[MODEL.shapes["Decision"].members[member].shape]
    bare = respond({"decisionType": kind})
    if shape.required:
        message = refusal("RespondDecisionTaskCompleted", bare).message
        for name in shape.required:
            assert (
                f"'decisions.1.member.{member}.{name}' failed to satisfy constraint: Member must not be null" in message
            )
    else:
        assert validation.check("RespondDecisionTaskCompleted", bare) is bare
    two = respond(decision(kind), decision("RecordMarker"))
    if kind in rules.CLOSING:
        assert refusal("RespondDecisionTaskCompleted", two).message == "Close must be last decision in list"
    else:
        validation.check("RespondDecisionTaskCompleted", two)
    other = respond({**decision("RecordMarker"), "startTimerDecisionAttributes": {"timerId": "a:b"}})
    assert "startToFireTimeout" in refusal("RespondDecisionTaskCompleted", other).message


@pytest.mark.parametrize("action", sorted(rules.FILTERS))
def test_filters_exclude_each_other(action: str) -> None:
    shape = MODEL.operations[action].input.shape
    everything = good(shape)
    plain = {key: value for key, value in everything.items() if key not in rules.FILTERS[action]}
    plain.pop("closeTimeFilter", None)
    for each in rules.FILTERS[action]:
        one = {**plain, each: everything[each]}
        assert validation.check(action, one) is one
        for other in rules.FILTERS[action]:
            if other != each:
                assert "more than one" in refusal(action, {**one, other: everything[other]}).message
                assert validation.check(action, {**one, other: None}) == one
    if "Closed" in action:
        times = "exactly one of startTimeFilter or closeTimeFilter"
        assert times in refusal(action, {**plain, "closeTimeFilter": everything["closeTimeFilter"]}).message
        del plain["startTimeFilter"]
        assert times in refusal(action, plain).message


def test_several_flaws_are_listed_together_and_values_are_cut() -> None:
    fault = refusal("StartWorkflowExecution", {"domain": "x" * 5000, "workflowId": "a:b"})
    assert fault.message.startswith("3 validation errors detected: ")
    assert len(fault.message) < 1000
    assert "Value null at 'workflowType'" in fault.message


def test_unknown_members_mean_nothing() -> None:
    made = {"name": "d", "other": {"a": [None]}}
    assert validation.check("DescribeDomain", made) is made


def test_unknown_actions() -> None:
    for action in ("", "Nothing", "describeDomain"):
        assert refusal(action, {}).type == "com.amazon.coral.service#UnknownOperationException"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@settings(max_examples=400, deadline=None)
@given(
    place=st.sampled_from(PLACES), value=JSON | st.sampled_from(["NONE", "0", "arn", "a:b", "31536000", " x", "a\n"])
)
def test_what_the_quick_half_accepts_the_other_accepts(place: Place, value: Any) -> None:
    made = place.put(value)
    try:
        msgspec.convert(made, quick.builder().request(place.action))
    except msgspec.ValidationError:
        return
    assert validation.explain(place.action, made) is made
