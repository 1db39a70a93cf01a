"""Stands for our agents in tests of the rehearsal: decider and worker as small programs that call AWS as ours do.

``machine.py decider|worker SWF_FOLDER OUTPUTS_JSON``: runs are files in the folder, RUN.open, RUN.N.done, RUN.closed.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import boto3
import msgspec

from simpleflow.core import documents


def decider(folder: Path, outputs: dict[str, str]) -> None:
    """Launch two spot workers a run, close it when one has worked, and leave when nothing is open."""
    idle = time.monotonic()
    while time.monotonic() - idle < 2.0:
        for run in folder.glob("*.open"):
            idle = time.monotonic()
            if not (started := run.with_suffix(".started")).exists():
                started.touch()
                launch(outputs)
            if len(list(folder.glob(f"{run.stem}.*.done"))) >= 1:
                run.rename(run.with_suffix(".closed"))
        time.sleep(0.1)
    give_up(outputs)
    autoscaling = boto3.client("autoscaling")
    autoscaling.set_desired_capacity(AutoScalingGroupName=outputs["DecidersGroup"], DesiredCapacity=0)


def give_up(outputs: dict[str, str]) -> None:
    """End the machines that never came up, as the manager does with those that never polled."""
    ec2 = boto3.client("ec2")
    wanted = [
        {"Name": "tag:simpleflow:profile", "Values": ["light"]},
        {"Name": "instance-state-name", "Values": ["running"]},
    ]
    found = [i["InstanceId"] for r in ec2.describe_instances(Filters=wanted)["Reservations"] for i in r["Instances"]]
    if found:
        ec2.terminate_instances(InstanceIds=found)


def launch(outputs: dict[str, str]) -> None:
    template = {"LaunchTemplateId": outputs["TemplateLight"], "Version": "$Latest"}
    subnets = outputs["Subnets"].split(",")
    overrides: list[dict[str, Any]] = [
        {"InstanceType": kind, "SubnetId": subnet} for kind in ("m7i.large", "m6i.large") for subnet in subnets
    ]
    boto3.client("ec2").create_fleet(
        Type="instant",
        LaunchTemplateConfigs=[{"LaunchTemplateSpecification": template, "Overrides": overrides}],
        TargetCapacitySpecification={"TotalTargetCapacity": 2, "DefaultTargetCapacityType": "spot"},
    )


def worker(folder: Path, outputs: dict[str, str]) -> None:
    """Report, work on what is open, power off."""
    me = Path.cwd().name
    now = time.time()
    document = documents.NodeDocument(
        node=sys.argv[4], profile="light", attempt="", state="working", booted=now, written=now, first_polled=now
    )
    body = msgspec.json.encode(document)
    boto3.client("s3").put_object(Bucket=outputs["Bucket"], Key=f"nodes/{sys.argv[4]}.json", Body=body)
    time.sleep(0.8)
    for run in folder.glob("*.open"):
        (folder / f"{run.stem}.{sys.argv[4]}.done").write_text(me)


if __name__ == "__main__":
    {"decider": decider, "worker": worker}[sys.argv[1]](Path(sys.argv[2]), json.loads(sys.argv[3]))
