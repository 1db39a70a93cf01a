"""Launch templates, the Auto Scaling group, its policies, and alarms."""

from __future__ import annotations

from typing import Any

import botocore.exceptions

from simpleflow.testing.cloud.cfn import kinds


class LaunchTemplate(kinds.Kind):
    """AWS::EC2::LaunchTemplate: new data is a new version; the default version stays 1, as AWS documents."""

    handled = frozenset({"LaunchTemplateName", "LaunchTemplateData", "VersionDescription", "TagSpecifications"})
    mutable = frozenset({"LaunchTemplateData", "VersionDescription"})

    def create(self, context: kinds.Context, properties: kinds.Properties) -> kinds.Made:
        tags = [*properties.get("TagSpecifications", []), *_stack_tags(context)]
        made = context.api("ec2").create_launch_template(
            LaunchTemplateName=properties.get("LaunchTemplateName") or context.name(most=128),
            LaunchTemplateData=_data(properties["LaunchTemplateData"]),
            **kinds.pick(properties, ["VersionDescription"]),
            **({"TagSpecifications": tags} if tags else {}),
        )["LaunchTemplate"]
        return kinds.Made(made["LaunchTemplateId"], _versions(made["LaunchTemplateId"], 1))

    def update(
        self, context: kinds.Context, physical: str, old: kinds.Properties, new: kinds.Properties
    ) -> dict[str, Any] | None:
        made = context.api("ec2").create_launch_template_version(
            LaunchTemplateId=physical,
            LaunchTemplateData=_data(new["LaunchTemplateData"]),
            **kinds.pick(new, ["VersionDescription"]),
        )["LaunchTemplateVersion"]
        return _versions(physical, made["VersionNumber"])

    def delete(self, context: kinds.Context, physical: str, properties: kinds.Properties) -> None:
        context.api("ec2").delete_launch_template(LaunchTemplateId=physical)


def _versions(template: str, latest: int) -> dict[str, Any]:
    return {"LaunchTemplateId": template, "LatestVersionNumber": str(latest), "DefaultVersionNumber": "1"}


def _stack_tags(context: kinds.Context) -> list[dict[str, Any]]:
    tags = context.tag_list({})
    return [{"ResourceType": "launch-template", "Tags": tags}] if tags else []


_BOOLEANS = frozenset(
    {"AssociatePublicIpAddress", "DeleteOnTermination", "EbsOptimized", "Enabled", "Encrypted",
     "DisableApiTermination", "DisableApiStop"}
)  # fmt: skip
_NUMBERS = frozenset(
    {"DeviceIndex", "HttpPutResponseHopLimit", "Ipv6AddressCount", "VolumeSize", "Iops", "Throughput",
     "CoreCount", "ThreadsPerCore", "BlockDurationMinutes", "NetworkCardIndex"}
)  # fmt: skip


def _data(node: Any, name: str = "") -> Any:
    if isinstance(node, dict):
        return {key: _data(value, key) for key, value in node.items()}
    if isinstance(node, list):
        return [_data(value) for value in node]
    if name in _BOOLEANS:
        return kinds.flag(node)
    return int(node) if name in _NUMBERS else str(node)


class Group(kinds.Kind):
    """AWS::AutoScaling::AutoScalingGroup. Its deletion sets it to 0 and waits for members: protected ones block it."""

    handled = frozenset(
        {"AutoScalingGroupName", "LaunchTemplate", "MixedInstancesPolicy", "MinSize", "MaxSize", "DesiredCapacity",
         "VPCZoneIdentifier", "NewInstancesProtectedFromScaleIn", "HealthCheckType", "HealthCheckGracePeriod",
         "DefaultInstanceWarmup", "Cooldown", "CapacityRebalance", "TerminationPolicies", "MetricsCollection",
         "MaxInstanceLifetime", "Tags"}
    )  # fmt: skip
    mutable = handled - {"AutoScalingGroupName"}

    def create(self, context: kinds.Context, properties: kinds.Properties) -> kinds.Made:
        name = properties.get("AutoScalingGroupName") or context.name(most=255)
        asg = context.api("autoscaling")
        asg.create_auto_scaling_group(**self._given(name, properties), Tags=self._tags(context, name, properties))
        self._metrics(asg, name, properties)
        arn = f"arn:aws:autoscaling:{context.region}:123456789012:autoScalingGroup:x:autoScalingGroupName/{name}"
        return kinds.Made(name, {"AutoScalingGroupARN": arn})

    @staticmethod
    def _given(name: str, properties: kinds.Properties) -> dict[str, Any]:
        given: dict[str, Any] = {"AutoScalingGroupName": name}
        numbers = ("MinSize", "MaxSize", "DesiredCapacity", "HealthCheckGracePeriod", "DefaultInstanceWarmup",
                   "MaxInstanceLifetime")  # fmt: skip
        given |= {one: int(properties[one]) for one in numbers if one in properties}
        if "Cooldown" in properties:
            given["DefaultCooldown"] = int(properties["Cooldown"])
        if "VPCZoneIdentifier" in properties:
            given["VPCZoneIdentifier"] = ",".join(properties["VPCZoneIdentifier"])
        for one in ("NewInstancesProtectedFromScaleIn", "CapacityRebalance"):
            if one in properties:
                given[one] = kinds.flag(properties[one])
        names = ("LaunchTemplate", "MixedInstancesPolicy", "HealthCheckType", "TerminationPolicies")
        return given | kinds.pick(properties, names)

    @staticmethod
    def _tags(context: kinds.Context, name: str, properties: kinds.Properties) -> list[dict[str, Any]]:
        own = {t["Key"]: t for t in properties.get("Tags", [])}
        merged = {**{k: {"Key": k, "Value": v, "PropagateAtLaunch": True} for k, v in context.tags.items()}, **own}
        return [
            {
                "Key": tag["Key"],
                "Value": tag["Value"],
                "PropagateAtLaunch": kinds.flag(tag["PropagateAtLaunch"]),
                "ResourceId": name,
                "ResourceType": "auto-scaling-group",
            }
            for tag in merged.values()
        ]

    @staticmethod
    def _metrics(asg: Any, name: str, properties: kinds.Properties) -> None:
        for one in properties.get("MetricsCollection", []):
            asg.enable_metrics_collection(
                AutoScalingGroupName=name, Granularity=one["Granularity"], **kinds.pick(one, ["Metrics"])
            )

    def update(
        self, context: kinds.Context, physical: str, old: kinds.Properties, new: kinds.Properties
    ) -> dict[str, Any] | None:
        asg = context.api("autoscaling")
        asg.update_auto_scaling_group(**self._given(physical, new))
        before, after = self._tags(context, physical, old), self._tags(context, physical, new)
        keys = {tag["Key"] for tag in after}
        if lost := [tag for tag in before if tag["Key"] not in keys]:
            asg.delete_tags(Tags=lost)
        if after:
            asg.create_or_update_tags(Tags=after)
        self._metrics(asg, physical, new)
        return None

    def delete(self, context: kinds.Context, physical: str, properties: kinds.Properties) -> None:
        asg = context.api("autoscaling")
        asg.update_auto_scaling_group(AutoScalingGroupName=physical, MinSize=0, MaxSize=0, DesiredCapacity=0)
        while True:
            try:
                asg.delete_auto_scaling_group(AutoScalingGroupName=physical)
            except botocore.exceptions.ClientError as error:
                if error.response["Error"]["Code"] != "ResourceInUse" or not context.wait():
                    raise
            else:
                return


class ScalingPolicy(kinds.Kind):
    """AWS::AutoScaling::ScalingPolicy; Ref is its ARN."""

    handled = frozenset(
        {"AutoScalingGroupName", "PolicyType", "AdjustmentType", "StepAdjustments", "ScalingAdjustment",
         "MetricAggregationType", "EstimatedInstanceWarmup", "Cooldown", "MinAdjustmentMagnitude"}
    )  # fmt: skip
    mutable = handled - {"AutoScalingGroupName"}

    def create(self, context: kinds.Context, properties: kinds.Properties) -> kinds.Made:
        arn = self._put(context, properties, context.name(most=255))
        return kinds.Made(arn, {"Arn": arn, "PolicyName": context.name(most=255)})

    @staticmethod
    def _put(context: kinds.Context, properties: kinds.Properties, name: str) -> str:
        given = dict(properties)
        for one in ("ScalingAdjustment", "EstimatedInstanceWarmup", "Cooldown", "MinAdjustmentMagnitude"):
            if one in given:
                given[one] = int(given[one])
        steps = []
        for step in given.pop("StepAdjustments", []):
            bounds = {k: float(v) for k, v in step.items() if k != "ScalingAdjustment"}
            steps.append({**bounds, "ScalingAdjustment": int(step["ScalingAdjustment"])})
        if steps:
            given["StepAdjustments"] = steps
        return str(context.api("autoscaling").put_scaling_policy(PolicyName=name, **given)["PolicyARN"])

    def update(
        self, context: kinds.Context, physical: str, old: kinds.Properties, new: kinds.Properties
    ) -> dict[str, Any] | None:
        self._put(context, new, context.name(most=255))
        return None

    def delete(self, context: kinds.Context, physical: str, properties: kinds.Properties) -> None:
        context.api("autoscaling").delete_policy(
            AutoScalingGroupName=properties["AutoScalingGroupName"], PolicyName=physical
        )


class Alarm(kinds.Kind):
    """AWS::CloudWatch::Alarm."""

    handled = frozenset(
        {"AlarmName", "AlarmDescription", "ActionsEnabled", "AlarmActions", "OKActions", "InsufficientDataActions",
         "ComparisonOperator", "Threshold", "EvaluationPeriods", "DatapointsToAlarm", "Period", "Statistic",
         "Namespace", "MetricName", "Dimensions", "Metrics", "TreatMissingData", "Unit", "Tags"}
    )  # fmt: skip
    mutable = handled - {"AlarmName"}

    def create(self, context: kinds.Context, properties: kinds.Properties) -> kinds.Made:
        name = properties.get("AlarmName") or context.name(most=255)
        self._put(context, name, properties)
        return kinds.Made(name, {"Arn": f"arn:aws:cloudwatch:{context.region}:123456789012:alarm:{name}"})

    @staticmethod
    def _put(context: kinds.Context, name: str, properties: kinds.Properties) -> None:
        given = {k: v for k, v in properties.items() if k not in ("AlarmName", "Tags")}
        for one in ("EvaluationPeriods", "DatapointsToAlarm", "Period"):
            if one in given:
                given[one] = int(given[one])
        if "Threshold" in given:
            given["Threshold"] = float(given["Threshold"])
        if "ActionsEnabled" in given:
            given["ActionsEnabled"] = kinds.flag(given["ActionsEnabled"])
        metrics = []
        for query in given.pop("Metrics", []):
            shaped = dict(query)
            if "ReturnData" in shaped:
                shaped["ReturnData"] = kinds.flag(shaped["ReturnData"])
            if "MetricStat" in shaped:
                shaped["MetricStat"] = {**shaped["MetricStat"], "Period": int(shaped["MetricStat"]["Period"])}
            if "Period" in shaped:
                shaped["Period"] = int(shaped["Period"])
            metrics.append(shaped)
        if metrics:
            given["Metrics"] = metrics
        tags = context.tag_list(properties)
        context.api("cloudwatch").put_metric_alarm(AlarmName=name, **given, **({"Tags": tags} if tags else {}))

    def update(
        self, context: kinds.Context, physical: str, old: kinds.Properties, new: kinds.Properties
    ) -> dict[str, Any] | None:
        self._put(context, physical, new)
        return None

    def delete(self, context: kinds.Context, physical: str, properties: kinds.Properties) -> None:
        context.api("cloudwatch").delete_alarms(AlarmNames=[physical])


TABLE: dict[str, kinds.Kind] = {
    "AWS::AutoScaling::AutoScalingGroup": Group(),
    "AWS::AutoScaling::ScalingPolicy": ScalingPolicy(),
    "AWS::CloudWatch::Alarm": Alarm(),
    "AWS::EC2::LaunchTemplate": LaunchTemplate(),
}
