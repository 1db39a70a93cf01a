"""The stacks' text is what the golden files hold, and cfn-lint finds nothing in it."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from simpleflow.infra import checks, deciders, launch_templates, stacks, values
from simpleflow.nodes.bundle import bundle
from simpleflow.nodes.providers.ec2 import stackinfo
from tests.unit.infra import samples

GOLDEN = Path(__file__).parent / "golden"
TEXTS = {
    f"{name}-{kind}.json": stacks.text(make(cluster))
    for name, cluster in samples.ALL.items()
    for kind, make in (("base", stacks.base), ("main", stacks.main))
}


@pytest.mark.parametrize("name", TEXTS)
def test_the_text_is_the_golden_one(name: str) -> None:
    """After a change on purpose: SIMPLEFLOW_WRITE_GOLDEN=1 pytest tests/unit/infra, and read the diff."""
    path = GOLDEN / name
    if os.environ.get("SIMPLEFLOW_WRITE_GOLDEN"):
        path.write_text(TEXTS[name])
    assert TEXTS[name] == path.read_text()


def test_the_same_values_give_the_same_text_in_another_process() -> None:
    code = (
        "import sys; from simpleflow.infra import stacks; from tests.unit.infra import samples;"
        "sys.stdout.write(stacks.text(stacks.main(samples.RICH)))"
    )
    environment = {**os.environ, "PYTHONHASHSEED": "7"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True)
    assert done.stdout == TEXTS["rich-main.json"]


@pytest.mark.parametrize(
    "name",
    # each takes seconds: by default the plainest stack and the one that has everything
    [pytest.param(name, marks=() if name in ("plain", "rich") else pytest.mark.slow) for name in samples.ALL],
)
def test_cfn_lint_is_clean_in_the_clusters_region(name: str) -> None:
    from cfnlint import api

    region = samples.ALL[name].region
    for kind in ("base", "main"):
        found = api.lint(TEXTS[f"{name}-{kind}.json"], regions=[region])
        assert not found, [str(each) for each in found]


@pytest.mark.parametrize("name", TEXTS)
def test_our_own_checks_are_clean(name: str) -> None:
    region = samples.ALL[name.split("-")[0]].region
    assert checks.check(json.loads(TEXTS[name]), bundle.instance_types(region)) == ()


def _evaluated(node: Any, given: dict[str, str]) -> str:
    if isinstance(node, str):
        return node
    if "Ref" in node:
        return given[node["Ref"]]
    if "Fn::Select" in node:
        return "uuid"
    glue, parts = node["Fn::Join"]
    return glue.join(_evaluated(part, given) for part in parts)


def test_tokens_in_user_data_become_what_the_stack_knows_and_nothing_else_changes() -> None:
    text = samples.PLAIN.deciders.user_data
    node = launch_templates.user_data(text).to_dict()["Fn::Base64"]
    plain = json.loads(json.dumps(node, default=lambda each: each.to_dict()))
    given = {"Bucket": "b", "Code": "c" * 64, "BootAlarm": "demo-BootAlarm-1", "AWS::StackName": "demo"}
    evaluated = _evaluated(plain, given)
    expected = text.replace(values.BUCKET_TOKEN, "b").replace(values.CODE_TOKEN, "c" * 64)
    expected = expected.replace(values.GROUP_TOKEN, "demo-uuid").replace(values.ALARM_TOKEN, "demo-BootAlarm-1")
    assert evaluated == expected
    assert "${a shell's variable}" in evaluated


def test_the_group_is_named_as_its_machines_are_told() -> None:
    main = json.loads(TEXTS["plain-main.json"])["Resources"]
    name = json.loads(json.dumps(deciders.group_name().to_dict(), default=lambda each: each.to_dict()))
    assert main["Deciders"]["Properties"]["AutoScalingGroupName"] == name
    assert name in main["DecidersTemplate"]["Properties"]["LaunchTemplateData"]["UserData"]["Fn::Base64"]["Fn::Join"][1]


def test_nothing_that_costs_stands_idle_by_default() -> None:
    kinds = {each["Type"] for each in json.loads(TEXTS["plain-main.json"])["Resources"].values()}
    assert not kinds & {"AWS::EC2::NatGateway", "AWS::EC2::EIP", "AWS::EC2::Instance"}
    endpoints = [
        each["Properties"]["VpcEndpointType"]
        for each in json.loads(TEXTS["plain-main.json"])["Resources"].values()
        if each["Type"] == "AWS::EC2::VPCEndpoint"
    ]
    assert endpoints == ["Gateway"]


def test_no_inbound_port_anywhere() -> None:
    for name in ("plain", "rich", "yours"):
        for each in json.loads(TEXTS[f"{name}-main.json"])["Resources"].values():
            assert each["Type"] != "AWS::EC2::SecurityGroupIngress"
            if each["Type"] == "AWS::EC2::SecurityGroup":
                assert "SecurityGroupIngress" not in each["Properties"]


def test_a_bucket_of_the_users_is_not_made_again() -> None:
    assert "Bucket" not in json.loads(TEXTS["closed-base.json"])["Resources"]


@pytest.mark.parametrize("name", ["small", "gpu-2", "big-gpu", "a-2-b", "a2b"])
def test_both_sides_write_logical_names_alike(name: str) -> None:
    assert values.logical(name) == stackinfo.logical(name)
    assert values.logical(name).isalnum()


def test_logical_names_stay_different() -> None:
    names = ["gpu-2", "gpu2", "gpu-d2", "a-b", "ab"]
    assert len({values.logical(each) for each in names}) == len(names)


def test_user_data_that_is_given_as_base64_is_measured_raw() -> None:
    main = json.loads(TEXTS["plain-main.json"])
    data = main["Resources"]["SmallTemplate"]["Properties"]["LaunchTemplateData"]
    data["UserData"] = base64.b64encode(b"x" * 16_384).decode()
    assert checks.check(main) == ()
    data["UserData"] = base64.b64encode(b"x" * 16_385).decode()
    assert [each.check for each in checks.check(main)] == ["user-data"]
