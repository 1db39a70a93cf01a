"""Scaling policies: what an alarm does to a group."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from simpleflow.core import clock as clocks
from simpleflow.testing.cloud.wire import errors, requests


class Policies:
    """Step and simple scaling policies.

    Args:
        clock: the cloud's clock.
        region: the region.
        bounds: a group's minimum, desired capacity and maximum.
        set_desired: sets a group's desired capacity.
    """

    def __init__(
        self,
        clock: clocks.Clock,
        region: str,
        bounds: Callable[[str], tuple[int, int, int]],
        set_desired: Callable[[str, int], None],
    ) -> None:
        self._clock = clock
        self._region = region
        self._bounds = bounds
        self._set = set_desired
        self._policies: dict[str, dict[str, Any]] = {}

    @requests.handles("autoscaling:PutScalingPolicy")
    def put(self, request: requests.Request) -> dict[str, Any]:
        """Make or replace a policy."""
        params = dict(request.params)
        group, name = params["AutoScalingGroupName"], params["PolicyName"]
        self._bounds(group)
        kind = params.setdefault("PolicyType", "SimpleScaling")
        if kind not in ("SimpleScaling", "StepScaling"):
            raise errors.ApiError("NotRehearsed", f"scaling policies of type {kind} are not rehearsed", 501)
        if kind == "StepScaling" and not params.get("StepAdjustments"):
            raise errors.ApiError("ValidationError", "At least one StepAdjustment must be specified for StepScaling")
        arn = (
            f"arn:aws:autoscaling:{self._region}:{requests.ACCOUNT_ID}:scalingPolicy:00000000:autoScalingGroupName/{group}:"
            f"policyName/{name}"
        )
        self._policies[arn] = {**params, "PolicyARN": arn}
        return {"PolicyARN": arn, "Alarms": []}

    @requests.handles("autoscaling:DescribePolicies")
    def describe(self, request: requests.Request) -> dict[str, Any]:
        """List a group's policies."""
        group = request.params.get("AutoScalingGroupName")
        return {"ScalingPolicies": [p for p in self._policies.values() if group in (None, p["AutoScalingGroupName"])]}

    @requests.handles("autoscaling:DeletePolicy")
    def delete(self, request: requests.Request) -> Mapping[str, Any]:
        """Delete a policy by name or ARN."""
        name, group = request.params["PolicyName"], request.params.get("AutoScalingGroupName")
        for arn, policy in self._policies.items():
            if name in (arn, policy["PolicyName"]) and group in (None, policy["AutoScalingGroupName"]):
                del self._policies[arn]
                return {}
        raise errors.ApiError("ValidationError", f"Policy {name} not found")

    def act(self, arn: str, value: float, threshold: float) -> None:
        """Carry a policy out for an alarm whose metric has this value; a policy that is gone does nothing."""
        policy = self._policies.get(arn)
        if policy is None:
            return
        group = policy["AutoScalingGroupName"]
        least, desired, most = self._bounds(group)
        if policy["PolicyType"] == "StepScaling":
            breach = value - threshold
            step = next(
                (
                    s["ScalingAdjustment"]
                    for s in policy["StepAdjustments"]
                    if s.get("MetricIntervalLowerBound", float("-inf")) <= breach
                    and breach < s.get("MetricIntervalUpperBound", float("inf"))
                ),
                None,
            )
            if step is None:
                return
        else:
            step = policy["ScalingAdjustment"]
        kind = policy.get("AdjustmentType")
        if kind == "ExactCapacity":
            wanted = step
        elif kind == "PercentChangeInCapacity":
            wanted = desired + round(desired * step / 100)
        else:
            wanted = desired + step
        self._set(group, min(max(wanted, least), most))
