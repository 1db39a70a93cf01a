"""Roles of nodes, deciders and the manager: each may do what it does, on its own cluster.

SWF authorises every decision as an action of its own (Developer Guide, "Amazon SWF permissions"), which no recorder
of calls sees. Polls can be limited to task lists; responses and heartbeats carry a token only and cannot.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from troposphere import GetAtt, Ref, Sub, Tags, Template, iam

from . import values

VERSION = "2012-10-17"

#: decisions that our deciders make, each an action of IAM
DECISIONS = (
    "CancelTimer",
    "CancelWorkflowExecution",
    "CompleteWorkflowExecution",
    "ContinueAsNewWorkflowExecution",
    "FailWorkflowExecution",
    "RecordMarker",
    "RequestCancelActivityTask",
    "RequestCancelExternalWorkflowExecution",
    "ScheduleActivityTask",
    "SignalExternalWorkflowExecution",
    "StartChildWorkflowExecution",
    "StartTimer",
)
#: calls of deciders and the manager to SWF besides polls; all take the domain as resource
DECIDER_CALLS = (
    "CountOpenWorkflowExecutions",
    "CountPendingActivityTasks",
    "CountPendingDecisionTasks",
    "DescribeActivityType",
    "DescribeDomain",
    "DescribeWorkflowExecution",
    "DescribeWorkflowType",
    "GetWorkflowExecutionHistory",
    "ListOpenWorkflowExecutions",
    "RegisterActivityType",
    "RegisterWorkflowType",
    "RespondDecisionTaskCompleted",
)
WORKER_CALLS = (
    "RecordActivityTaskHeartbeat",
    "RespondActivityTaskCanceled",
    "RespondActivityTaskCompleted",
    "RespondActivityTaskFailed",
)
#: kinds of resource that a fleet makes, and that are tagged as it makes them
FLEET_KINDS = ("fleet", "instance", "volume", "network-interface")


def _arn(service: str, rest: str) -> Any:
    return Sub(f"arn:${{AWS::Partition}}:{service}:${{AWS::Region}}:${{AWS::AccountId}}:{rest}")


def allow(actions: Iterable[str], resource: Any, condition: dict[str, Any] | None = None) -> dict[str, Any]:
    """One statement that allows."""
    statement: dict[str, Any] = {"Effect": "Allow", "Action": sorted(actions), "Resource": resource}
    if condition is not None:
        statement["Condition"] = condition
    return statement


def _domain(cluster: values.Cluster) -> Any:
    # SWF's ARNs begin with a slash: arn:aws:swf:REGION:ACCOUNT:/domain/NAME
    return _arn("swf", f"/domain/{cluster.domain}")


def _objects(cluster: values.Cluster, *keys: str) -> list[Any]:
    return [Sub("arn:${AWS::Partition}:s3:::${Bucket}/" + cluster.prefix + key) for key in keys]


def _bucket() -> Any:
    return Sub("arn:${AWS::Partition}:s3:::${Bucket}")


def _own(cluster: values.Cluster, key: str = "aws:ResourceTag") -> dict[str, Any]:
    return {"StringEquals": {f"{key}/{values.CLUSTER_TAG}": cluster.name}}


def _common(cluster: values.Cluster, machine: values.Machine, log_group: str) -> list[dict[str, Any]]:
    statements = [
        allow(["s3:GetObject"], _objects(cluster, "code/*", "cluster.json", "control.json", "blobs/*")),
        allow(["s3:PutObject"], _objects(cluster, "blobs/*")),
        allow(
            ["logs:CreateLogStream", "logs:PutLogEvents"],
            _arn("logs", f"log-group:${{{log_group}}}:*"),
        ),
    ]
    parameters = [name for name in machine.secrets if name.startswith("/")]
    secrets = [name for name in machine.secrets if not name.startswith("/")]
    if parameters:
        statements.append(allow(["ssm:GetParameters"], [_arn("ssm", f"parameter{name}") for name in parameters]))
    if secrets:
        statements.append(allow(["secretsmanager:GetSecretValue"], secrets))
    statements += [allow(each.actions, list(each.resources)) for each in machine.permissions]
    return statements


def worker(cluster: values.Cluster, machine: values.Machine) -> list[dict[str, Any]]:
    """What a worker node may do. It may tag nothing: nodes report by their document."""
    lists = list(machine.task_lists)
    return [
        allow(
            ["swf:PollForActivityTask"],
            _domain(cluster),
            {"StringEquals": {"swf:taskList.name": lists}},
        ),
        allow([f"swf:{name}" for name in WORKER_CALLS], _domain(cluster)),
        allow(["s3:PutObject"], _objects(cluster, "nodes/i-*.json")),
        *_common(cluster, machine, "NodeLogs"),
    ]


def decider(cluster: values.Cluster, machine: values.Machine) -> list[dict[str, Any]]:
    """What a decider may do: its calls, and each kind of decision."""
    return [
        # Sticky lists are named by process: all of them begin with the shared list's name.
        allow(
            ["swf:PollForDecisionTask"],
            _domain(cluster),
            {"StringLike": {"swf:taskList.name": [cluster.decision_task_list, f"{cluster.decision_task_list}*"]}},
        ),
        allow([f"swf:{name}" for name in (*DECIDER_CALLS, *DECISIONS)], _domain(cluster)),
        allow(["s3:PutObject", "s3:DeleteObject"], _objects(cluster, "demand/*.json")),
        *_common(cluster, machine, "DeciderLogs"),
    ]


def manager(cluster: values.Cluster, roles: Iterable[Any]) -> list[dict[str, Any]]:
    """What the manager may do: launch by fleet, mark, end its own nodes; set its own group; keep its documents."""
    fleets = {"StringEquals": {"ec2:CreateAction": ["CreateFleet", "RunInstances"]}}
    marks = {**_own(cluster), "ForAllValues:StringLike": {"aws:TagKeys": [values.DRAIN_TAGS]}}
    return [
        # Descriptions take no resource: Service Authorization Reference, EC2 and Auto Scaling.
        allow(
            [
                "autoscaling:DescribeAutoScalingGroups",
                "ec2:DescribeInstanceTypes",
                "ec2:DescribeInstances",
                "ec2:DescribeSpotPriceHistory",
                "ec2:DescribeSubnets",
            ],
            "*",
        ),
        # dependent_actions of CreateFleet (Service Authorization Reference): RunInstances and, with tags, CreateTags.
        allow(["ec2:CreateFleet", "ec2:RunInstances"], "*", {"StringEquals": {"aws:RequestedRegion": cluster.region}}),
        allow(["ec2:CreateTags"], [_arn("ec2", f"{kind}/*") for kind in FLEET_KINDS], fleets),
        allow(["iam:PassRole"], list(roles), {"StringEquals": {"iam:PassedToService": "ec2.amazonaws.com"}}),
        allow(["ec2:CreateTags", "ec2:DeleteTags"], _arn("ec2", "instance/*"), marks),
        allow(["ec2:GetConsoleOutput", "ec2:TerminateInstances"], _arn("ec2", "instance/*"), _own(cluster)),
        allow(
            [
                "autoscaling:SetDesiredCapacity",
                "autoscaling:SetInstanceProtection",
                "autoscaling:SuspendProcesses",
            ],
            _arn("autoscaling", "autoScalingGroup:*:autoScalingGroupName/*"),
            _own(cluster),
        ),
        # The boot guard raises the user's alarm; CloudFormation makes its name from the stack's.
        allow(["cloudwatch:SetAlarmState"], _arn("cloudwatch", "alarm:${AWS::StackName}-*")),
        allow(["cloudformation:DescribeStacks"], _arn("cloudformation", "stack/${AWS::StackName}/*")),
        allow(["s3:ListBucket"], _bucket()),
        allow(
            ["s3:DeleteObject", "s3:GetObject", "s3:PutObject"],
            _objects(
                cluster, "control.json", "decisions.json", "forecast.json", "nodes/*", "demand/*", "ledger/*", "boots/*"
            ),
        ),
    ]


def _role(template: Template, cluster: values.Cluster, title: str, policies: dict[str, list[dict[str, Any]]]) -> Any:
    return template.add_resource(
        iam.Role(
            title,
            AssumeRolePolicyDocument={
                "Version": VERSION,
                "Statement": [
                    {
                        "Effect": "Allow",
                        "Principal": {"Service": "ec2.amazonaws.com"},
                        "Action": "sts:AssumeRole",
                    }
                ],
            },
            Policies=[
                iam.Policy(PolicyName=name, PolicyDocument={"Version": VERSION, "Statement": statements})
                for name, statements in policies.items()
            ],
            Tags=Tags(values.tags_of(cluster)),
        )
    )


def _profile(template: Template, role: Any, title: str) -> Any:
    made = template.add_resource(iam.InstanceProfile(title, Roles=[Ref(role)]))
    return GetAtt(made, "Arn")


def add(template: Template, cluster: values.Cluster) -> dict[str, Any]:
    """Add a role and an instance profile per kind of machine; returns the profiles' ARNs by machine name."""
    profiles: dict[str, Any] = {}
    arns = []
    for machine in cluster.profiles:
        name = values.logical(machine.name)
        role = _role(template, cluster, f"{name}Role", {"worker": worker(cluster, machine)})
        profiles[machine.name] = _profile(template, role, f"{name}InstanceProfile")
        arns.append(GetAtt(role, "Arn"))
    role = _role(
        template,
        cluster,
        "DecidersRole",
        {"decider": decider(cluster, cluster.deciders), "manager": manager(cluster, arns)},
    )
    profiles[cluster.deciders.name] = _profile(template, role, "DecidersInstanceProfile")
    return profiles
