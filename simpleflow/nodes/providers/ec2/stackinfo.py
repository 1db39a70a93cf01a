"""Resources of the cluster's stack, as its outputs name them: templates, subnets, the group, the alarms."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping

import msgspec

from simpleflow.nodes import errors

from . import clients, owned


class StackInfo(msgspec.Struct, frozen=True, kw_only=True):
    """Outputs of the stack CLUSTER."""

    group: str
    wake_alarm: str
    boot_alarm: str
    bucket: str
    #: digest of the code
    code: str
    #: subnet -> zone, of those that exist
    subnets: Mapping[str, str]
    #: profile's logical name -> launch template
    templates: Mapping[str, str]


def of_outputs(outputs: Mapping[str, str], zones: Mapping[str, str]) -> StackInfo:
    """Read the outputs; raises KeyError when one is missing."""
    prefix = "Template"
    return StackInfo(
        group=outputs["DecidersGroup"],
        wake_alarm=outputs["WakeUpAlarm"],
        boot_alarm=outputs["BootAlarm"],
        bucket=outputs["Bucket"],
        code=outputs["Code"],
        subnets={subnet: zones[subnet] for subnet in outputs["Subnets"].split(",") if subnet in zones},
        templates={name.removeprefix(prefix): value for name, value in outputs.items() if name.startswith(prefix)},
    )


def read(made: clients.Clients, cluster: str) -> StackInfo:
    """Read the stack of a cluster; raises NotThere when it is not up, ProviderRefused when it is not the cluster's."""
    with clients.mapped(f"reading stack '{cluster}'"):
        try:
            stacks = made.get("cloudformation").describe_stacks(StackName=cluster)["Stacks"]
        except Exception as error:
            if clients.code_of(error) == "ValidationError" and "does not exist" in str(error):
                raise errors.NotThere(
                    f"cluster '{cluster}' has no stack in {made.region}; `sfnodes up` makes it"
                ) from error
            raise
        owned.require_stack(
            cluster,
            {each["Key"]: each["Value"] for each in stacks[0].get("Tags", [])},
            stacks[0].get("Description") or "",
            cluster,
        )
        outputs = {each["OutputKey"]: each["OutputValue"] for each in stacks[0].get("Outputs", [])}
        subnets = [each for each in outputs.get("Subnets", "").split(",") if each]
        # By a filter: asked by id, one subnet that was deleted by hand would fail the whole call.
        wanted = [{"Name": "subnet-id", "Values": subnets}]
        found = made.get("ec2").describe_subnets(Filters=wanted)["Subnets"] if subnets else []
    try:
        return of_outputs(outputs, {each["SubnetId"]: each["AvailabilityZone"] for each in found})
    except KeyError as error:
        raise errors.NotThere(
            f"stack '{cluster}' ({stacks[0]['StackStatus']}) has no output {error}; run `sfnodes up` until it succeeds"
        ) from error


def logical(name: str) -> str:
    """A profile's name inside logical ids and outputs, as infra/values.py writes it ('big-gpu' gives 'BigGpu')."""
    titled = "".join(part[:1].upper() + part[1:] for part in name.split("-"))
    back = re.sub("[A-Z]", lambda found: "-" + found[0].lower(), titled)[1:]
    return titled if back == name else titled + hashlib.sha256(name.encode()).hexdigest()[:8]
