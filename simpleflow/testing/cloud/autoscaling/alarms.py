"""CloudWatch alarms on metrics that the account and the service that plays SWF can tell."""

from __future__ import annotations

import ast
import dataclasses
import operator
from collections.abc import Callable, Mapping
from typing import Any

from simpleflow.core import clock as clocks
from simpleflow.testing.cloud import timeline
from simpleflow.testing.cloud.wire import errors, requests

#: Looks a metric up now: namespace, name, dimensions. None where CloudWatch would have no data.
Source = Callable[[str, str, Mapping[str, str]], float | None]
_COMPARE: dict[str, Callable[[float, float], bool]] = {
    "GreaterThanThreshold": operator.gt,
    "GreaterThanOrEqualToThreshold": operator.ge,
    "LessThanThreshold": operator.lt,
    "LessThanOrEqualToThreshold": operator.le,
}


@dataclasses.dataclass(kw_only=True, eq=False)
class Alarm:
    """One alarm."""

    name: str
    given: dict[str, Any]
    state: str = "INSUFFICIENT_DATA"
    since: float = 0.0
    reason: str = "Unchecked: Initial alarm creation"
    enabled: bool = True
    points: list[float | None] = dataclasses.field(default_factory=list)
    acted: float = float("-inf")


class Alarms:
    """Puts, describes and evaluates alarms.

    Args:
        clock: the cloud's clock.
        line: where evaluations are planned.
        region: the region.
        source: where metrics come from.
        act: carries out an action: ARN, value, threshold.
        period: seconds between evaluations (AWS: the alarm's own period, at least 60 for SWF's metrics).
    """

    def __init__(
        self,
        *,
        clock: clocks.Clock,
        line: timeline.Timeline,
        region: str,
        source: Source,
        act: Callable[[str, float, float], None],
        period: float,
    ) -> None:
        self._clock = clock
        self._line = line
        self._region = region
        self._source = source
        self._act = act
        self._period = period
        self._alarms: dict[str, Alarm] = {}
        self._looking = False

    @requests.handles("cloudwatch:PutMetricAlarm")
    def put(self, request: requests.Request) -> Mapping[str, Any]:
        """Make or replace an alarm; its state is kept."""
        params = request.params
        if params["ComparisonOperator"] not in _COMPARE:
            raise errors.ApiError("NotRehearsed", f"{params['ComparisonOperator']} is not rehearsed", 501)
        for query in params.get("Metrics", []):
            if "Expression" in query:
                evaluate(query["Expression"], {one["Id"]: 0.0 for one in params["Metrics"]})
        name = params["AlarmName"]
        alarm = self._alarms.setdefault(name, Alarm(name=name, given={}, since=self._clock.now()))
        alarm.given = dict(params)
        alarm.enabled = params.get("ActionsEnabled", True)
        if not self._looking:
            self._looking = True
            self._line.after(self._period, self._look)
        return {}

    @requests.handles("cloudwatch:DeleteAlarms")
    def delete(self, request: requests.Request) -> Mapping[str, Any]:
        """Delete alarms; names that are not there are an error, and then nothing is deleted."""
        names = request.params["AlarmNames"]
        if missing := [name for name in names if name not in self._alarms]:
            raise errors.ApiError("ResourceNotFound", f"Alarms do not exist: {', '.join(missing)}", 404)
        for name in names:
            del self._alarms[name]
        return {}

    @requests.handles("cloudwatch:EnableAlarmActions", "cloudwatch:DisableAlarmActions")
    def enable(self, request: requests.Request) -> Mapping[str, Any]:
        """Let alarms act, or only show their state."""
        for name in request.params["AlarmNames"]:
            if name in self._alarms:
                self._alarms[name].enabled = request.action == "EnableAlarmActions"
        return {}

    @requests.handles("cloudwatch:SetAlarmState")
    def set_state(self, request: requests.Request) -> Mapping[str, Any]:
        """Set a state by hand, until the next evaluation; its actions happen."""
        alarm = self._alarms.get(request.params["AlarmName"])
        if alarm is None:
            raise errors.ApiError("ResourceNotFound", f"{request.params['AlarmName']} does not exist", 404)
        self._become(alarm, request.params["StateValue"], request.params["StateReason"], 1.0)
        return {}

    @requests.handles("cloudwatch:DescribeAlarms")
    def describe(self, request: requests.Request) -> dict[str, Any]:
        """List alarms by name, prefix or state."""
        params = request.params
        found = [
            a
            for a in self._alarms.values()
            if a.name in params.get("AlarmNames", [a.name])
            and a.name.startswith(params.get("AlarmNamePrefix", ""))
            and a.state == params.get("StateValue", a.state)
        ]
        return {"MetricAlarms": [self._described(a) for a in found], "CompositeAlarms": []}

    def _described(self, alarm: Alarm) -> dict[str, Any]:
        shown = {k: v for k, v in alarm.given.items() if k != "Tags"}
        return {
            "AlarmArn": f"arn:aws:cloudwatch:{self._region}:{requests.ACCOUNT_ID}:alarm:{alarm.name}",
            "OKActions": [],
            "AlarmActions": [],
            "InsufficientDataActions": [],
            "Dimensions": [],
            **shown,
            "ActionsEnabled": alarm.enabled,
            "StateValue": alarm.state,
            "StateReason": alarm.reason,
            "StateUpdatedTimestamp": alarm.since,
        }

    # --- evaluation ---------------------------------------------------------------------------------------------

    def _look(self) -> None:
        for alarm in list(self._alarms.values()):
            self._evaluate(alarm)
        self._looking = bool(self._alarms)
        if self._looking:
            self._line.after(self._period, self._look)

    def _evaluate(self, alarm: Alarm) -> None:
        given = alarm.given
        periods = given.get("EvaluationPeriods", 1)
        alarm.points = [*alarm.points, self._value(given)][-periods:]
        missing = given.get("TreatMissingData", "missing")
        compare, threshold = _COMPARE[given["ComparisonOperator"]], given.get("Threshold", 0.0)
        verdicts: list[bool] = []
        for point in alarm.points:
            if point is not None:
                verdicts.append(compare(point, threshold))
            elif missing in ("breaching", "notBreaching"):
                verdicts.append(missing == "breaching")
        if not verdicts:
            if missing != "ignore":
                self._become(alarm, "INSUFFICIENT_DATA", "Insufficient Data", 0.0)
            return
        needed = given.get("DatapointsToAlarm", periods)
        value = next((p for p in reversed(alarm.points) if p is not None), 0.0)
        state = "ALARM" if sum(verdicts) >= needed else "OK"
        self._become(alarm, state, f"Threshold Crossed: {alarm.points} against {threshold}", value)

    def _value(self, given: Mapping[str, Any]) -> float | None:
        if "MetricName" in given:
            return self._metric(given)
        values: dict[str, float | None] = {}
        queries = given.get("Metrics", [])
        for query in queries:
            if "MetricStat" in query:
                values[query["Id"]] = self._metric(query["MetricStat"]["Metric"])
        for query in queries:
            if "Expression" in query:
                values[query["Id"]] = evaluate(query["Expression"], values)
        shown = [q["Id"] for q in queries if q.get("ReturnData", True)]
        return values[shown[0]] if len(shown) == 1 else None

    def _metric(self, metric: Mapping[str, Any]) -> float | None:
        dimensions = {d["Name"]: d["Value"] for d in metric.get("Dimensions", [])}
        return self._source(metric["Namespace"], metric["MetricName"], dimensions)

    def _become(self, alarm: Alarm, state: str, reason: str, value: float) -> None:
        now = self._clock.now()
        changed = alarm.state != state
        if changed:
            alarm.state, alarm.since, alarm.reason = state, now, reason
        # a scaling policy is asked again for as long as its alarm stays in ALARM
        if not alarm.enabled or not (changed or (state == "ALARM" and now - alarm.acted >= self._period)):
            return
        alarm.acted = now
        names = {"ALARM": "AlarmActions", "OK": "OKActions", "INSUFFICIENT_DATA": "InsufficientDataActions"}
        for action in alarm.given.get(names[state], []):
            self._act(action, value, alarm.given.get("Threshold", 0.0))


def evaluate(expression: str, values: Mapping[str, float | None]) -> float | None:
    """Evaluate metric math: arithmetic, comparisons, AND OR && ||, IF, FILL, MAX, MIN, SUM. None is not data.

    Raises ApiError for anything else, so that an alarm which would not be rehearsed is not accepted.
    """
    text = expression.replace("&&", " and ").replace("||", " or ").replace(" AND ", " and ").replace(" OR ", " or ")
    try:
        tree = ast.parse(text.strip(), mode="eval")
        return _math(tree.body, values)
    except (SyntaxError, KeyError, TypeError) as error:
        raise errors.ApiError(
            "ValidationError", f"metric math that is not rehearsed: {expression} ({error})"
        ) from error


_BINARY: dict[type[ast.operator], Callable[[float, float], float]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
}
_RELATIONS: dict[type[ast.cmpop], Callable[[float, float], bool]] = {
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
}


def _math(node: ast.expr, values: Mapping[str, float | None]) -> float | None:
    match node:
        case ast.Constant(value=int() | float() as number):
            return float(number)
        case ast.Name(id=name):
            return values[name]
        case ast.UnaryOp(op=ast.USub(), operand=inner):
            value = _math(inner, values)
            return None if value is None else -value
        case ast.BinOp(left=left, op=op, right=right):
            return _both(_BINARY[type(op)], _math(left, values), _math(right, values))
        case ast.Compare(left=left, ops=[op], comparators=[right]):
            return _both(_RELATIONS[type(op)], _math(left, values), _math(right, values))
        case ast.BoolOp(op=op, values=parts):
            found = [_math(part, values) for part in parts]
            if any(one is None for one in found):
                return None
            return float(all(found) if isinstance(op, ast.And) else any(found))
        case ast.Call(func=ast.Name(id=name), args=arguments):
            return _call(name, arguments, values)
    raise TypeError(ast.unparse(node))


def _both(how: Callable[[float, float], float], left: float | None, right: float | None) -> float | None:
    return None if left is None or right is None else float(how(left, right))


def _call(name: str, arguments: list[ast.expr], values: Mapping[str, float | None]) -> float | None:
    found = [_math(one, values) for one in arguments]
    match name:
        case "IF":
            return None if found[0] is None else found[1] if found[0] else found[2]
        case "FILL":
            return found[1] if found[0] is None else found[0]
        case "MAX" | "MIN" | "SUM":
            known = [one for one in found if one is not None]
            if not known:
                return None
            return max(known) if name == "MAX" else min(known) if name == "MIN" else sum(known)
    raise TypeError(name)
