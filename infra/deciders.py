"""The deciders' group, kept alive by AWS itself; the alarm that wakes it; the alarm that its boot guard raises.

Who may set which number: docs/design/control.md, part 2. The template never sets DesiredCapacity: an
update would put a running decider to sleep. Members are protected from scale-in from launch to end.
"""

from __future__ import annotations

from typing import Any

from troposphere import GetAtt, Join, Ref, Select, Split, Template, autoscaling, cloudwatch

from . import network, values


def group_name() -> Any:
    """Name of the group: the stack's, and the end of its id.

    A generated name could not stand in the user data of the group's own machines, whose boot guard needs it. This is
    a new one with every stack, so nothing that is replaced or made again meets its predecessor.
    """
    return Join("-", [Ref("AWS::StackName"), Select(2, Split("/", Ref("AWS::StackId")))])


def add(template: Template, cluster: values.Cluster, launch_template: Any, made: network.Made) -> None:
    """Add the group, its step policy and both alarms."""
    group = template.add_resource(
        autoscaling.AutoScalingGroup(
            "Deciders",
            AutoScalingGroupName=group_name(),
            MinSize=str(cluster.deciders_min),
            MaxSize=str(cluster.deciders_max),
            VPCZoneIdentifier=made.subnets,
            NewInstancesProtectedFromScaleIn=True,
            HealthCheckType="EC2",
            MetricsCollection=[autoscaling.MetricsCollection(Granularity="1Minute", Metrics=["GroupDesiredCapacity"])],
            Tags=[
                autoscaling.Tag(key, value, True)
                for key, value in sorted(values.tags_of(cluster, **{values.ROLE_TAG: "decider"}).items())
            ],
            **_machines(cluster.deciders, launch_template),
        )
    )
    wake = template.add_resource(
        autoscaling.ScalingPolicy(
            "WakeUp",
            AutoScalingGroupName=Ref(group),
            PolicyType="StepScaling",
            # Exactly 1: as "+1" the group climbs after every leave.
            AdjustmentType="ExactCapacity",
            StepAdjustments=[autoscaling.StepAdjustments(MetricIntervalLowerBound=0, ScalingAdjustment=1)],
        )
    )
    template.add_resource(
        cloudwatch.Alarm(
            "WakeUpAlarm",
            AlarmDescription=f"simpleflow {cluster.name}: decision tasks wait and no decider is wanted",
            ComparisonOperator="GreaterThanOrEqualToThreshold",
            Threshold=1,
            EvaluationPeriods=1,
            TreatMissingData="notBreaching",
            AlarmActions=[Ref(wake)],
            Metrics=[
                _metric(
                    "pending",
                    "AWS/SWF",
                    "PendingTasks",
                    {"Domain": cluster.domain, "TaskListName": cluster.decision_task_list},
                    "Maximum",
                    cluster.alarm_period,
                ),
                _metric(
                    "desired",
                    "AWS/AutoScaling",
                    "GroupDesiredCapacity",
                    {"AutoScalingGroupName": Ref(group)},
                    "Minimum",
                    cluster.alarm_period,
                ),
                cloudwatch.MetricDataQuery(
                    Id="asleep",
                    Expression="IF(pending > 0 && desired < 1, 1, 0)",
                    Label="tasks wait while the group is at 0",
                    ReturnData=True,
                ),
            ],
        )
    )
    template.add_resource(
        cloudwatch.Alarm(
            "BootAlarm",
            AlarmDescription=(
                f"simpleflow {cluster.name}: three deciders in a row did not boot, the group launches no more; "
                "sfnodes up resumes it"
            ),
            # Nothing publishes this metric: the boot guard sets the alarm's state (SetAlarmState), nothing resets it.
            Namespace="simpleflow",
            MetricName="FailedBoots",
            Dimensions=[cloudwatch.MetricDimension(Name="Cluster", Value=cluster.name)],
            Statistic="Maximum",
            Period=60,
            EvaluationPeriods=1,
            Threshold=3,
            ComparisonOperator="GreaterThanOrEqualToThreshold",
            TreatMissingData="ignore",
        )
    )


def _machines(machine: values.Machine, launch_template: Any) -> dict[str, Any]:
    if len(machine.types) == 1 and machine.market == "on-demand":
        return {
            "LaunchTemplate": autoscaling.LaunchTemplateSpecification(
                LaunchTemplateId=Ref(launch_template), Version=GetAtt(launch_template, "LatestVersionNumber")
            )
        }
    spot = machine.market == "spot"
    return {
        "MixedInstancesPolicy": autoscaling.MixedInstancesPolicy(
            InstancesDistribution=autoscaling.InstancesDistribution(
                OnDemandBaseCapacity=0,
                OnDemandPercentageAboveBaseCapacity=0 if spot else 100,
                SpotAllocationStrategy="price-capacity-optimized",
            ),
            LaunchTemplate=autoscaling.LaunchTemplate(
                LaunchTemplateSpecification=autoscaling.LaunchTemplateSpecification(
                    LaunchTemplateId=Ref(launch_template), Version=GetAtt(launch_template, "LatestVersionNumber")
                ),
                Overrides=[autoscaling.LaunchTemplateOverrides(InstanceType=each) for each in machine.types],
            ),
        )
    }


def _metric(
    name: str, namespace: str, metric: str, dimensions: dict[str, Any], statistic: str, period: int
) -> cloudwatch.MetricDataQuery:
    return cloudwatch.MetricDataQuery(
        Id=name,
        ReturnData=False,
        MetricStat=cloudwatch.MetricStat(
            Metric=cloudwatch.Metric(
                Namespace=namespace,
                MetricName=metric,
                Dimensions=[
                    cloudwatch.MetricDimension(Name=key, Value=value) for key, value in sorted(dimensions.items())
                ],
            ),
            Period=period,
            Stat=statistic,
        ),
    )
