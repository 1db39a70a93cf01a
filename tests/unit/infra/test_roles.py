"""Rights: what each role may do, and what it may not."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

import botocore.session
import pytest

import simpleflow
from simpleflow.infra import roles, stacks
from tests.unit.infra import samples

PACKAGE = Path(simpleflow.__file__).parent
MAIN = stacks.main(samples.PLAIN)


def _actions(role: str) -> set[str]:
    policies = MAIN["Resources"][role]["Properties"]["Policies"]
    return {action for each in policies for one in each["PolicyDocument"]["Statement"] for action in one["Action"]}


def test_every_decision_that_swf_knows_is_authorised_but_lambda() -> None:
    model = botocore.session.get_session().get_service_model("swf")
    kinds = set(model.shape_for("DecisionType").enum)
    assert {each for each in kinds if each != "ScheduleLambdaFunction"} == set(roles.DECISIONS)
    assert {f"swf:{each}" for each in roles.DECISIONS} <= _actions("DecidersRole")
    assert not {f"swf:{each}" for each in roles.DECISIONS} & _actions("SmallRole")


def test_swfs_calls_exist() -> None:
    model = botocore.session.get_session().get_service_model("swf")
    assert {*roles.DECIDER_CALLS, *roles.WORKER_CALLS} <= set(model.operation_names)


#: who runs the code of each module that names calls of SWF. `up` registers the domain: no machine's role may
CALLERS = {
    "runtime/decider.py": "decider",
    "runtime/needs.py": "decider",
    "runtime/retrying.py": "decider",
    "swf/registration.py": "decider",
    "nodes/manager/coordinator.py": "decider",
    "runtime/worker.py": "worker",
    "runtime/heartbeat.py": "worker",
    "runtime/values.py": "worker",
}


@pytest.mark.parametrize("who", ["decider", "worker"])
def test_every_call_of_swf_in_the_code_of_a_machine_is_in_its_role(who: str) -> None:
    """A rehearsal's record has none of them: its SWF is the embedded service, which asks nobody for rights."""
    known = set(botocore.session.get_session().get_service_model("swf").operation_names)
    found: dict[str, set[str]] = {}
    for folder in ("runtime", "nodes"):
        for file in (PACKAGE / folder).rglob("*.py"):
            found[str(file.relative_to(PACKAGE))] = _named(file) & known
    found["swf/registration.py"] = _named(PACKAGE / "swf" / "registration.py") & known
    assert {name for name, calls in found.items() if calls} == set(CALLERS)
    called = set().union(*(found[name] for name, by in CALLERS.items() if by == who)) - {"RegisterDomain"}
    allowed = _actions("DecidersRole" if who == "decider" else "SmallRole")
    assert {f"swf:{each}" for each in called} <= allowed
    assert "swf:RegisterDomain" not in allowed


def _named(file: Path) -> set[str]:
    """Every text that stands in a module's code."""
    tree = ast.parse(file.read_text())
    return {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)}


@pytest.mark.parametrize("prefix", ["ec2:", "autoscaling:", "iam:", "cloudformation:", "cloudwatch:"])
def test_a_worker_may_tag_launch_and_scale_nothing(prefix: str) -> None:
    assert not [each for each in _actions("SmallRole") if each.startswith(prefix)]


def test_the_manager_never_deletes_fleets_nor_sets_more_than_its_group() -> None:
    actions = _actions("DecidersRole")
    assert "ec2:DeleteFleets" not in actions
    assert "autoscaling:UpdateAutoScalingGroup" not in actions
    assert not [each for each in actions if each.startswith("iam:") and each != "iam:PassRole"]


def _of(action: str) -> list[Any]:
    policies = MAIN["Resources"]["DecidersRole"]["Properties"]["Policies"]
    return [one for each in policies for one in each["PolicyDocument"]["Statement"] if action in one["Action"]]


def test_the_manager_ends_and_marks_only_machines_of_its_cluster() -> None:
    [ends] = _of("ec2:TerminateInstances")
    assert ends["Condition"] == {"StringEquals": {"aws:ResourceTag/simpleflow:cluster": "demo"}}
    [marks] = _of("ec2:DeleteTags")
    assert marks["Condition"]["ForAllValues:StringLike"] == {"aws:TagKeys": ["simpleflow:drain.*"]}
    at_launch = next(each for each in _of("ec2:CreateTags") if each is not marks)
    assert at_launch["Condition"] == {"StringEquals": {"ec2:CreateAction": ["CreateFleet", "RunInstances"]}}


def test_the_manager_passes_only_the_roles_of_its_profiles_and_only_to_ec2() -> None:
    [passes] = _of("iam:PassRole")
    assert passes["Resource"] == [{"Fn::GetAtt": ["SmallRole", "Arn"]}]
    assert passes["Condition"] == {"StringEquals": {"iam:PassedToService": "ec2.amazonaws.com"}}


def test_polls_are_limited_to_task_lists() -> None:
    role = MAIN["Resources"]["SmallRole"]["Properties"]["Policies"][0]["PolicyDocument"]["Statement"]
    [polls] = [each for each in role if "swf:PollForActivityTask" in each["Action"]]
    assert polls["Condition"] == {"StringEquals": {"swf:taskList.name": ["light"]}}
