"""Outputs: generated names are read from here, none is fixed (a fixed name makes an update a replacement)."""

from __future__ import annotations

from typing import Any

from troposphere import Join, Output, Ref, Template

from . import network, values


def add_base(template: Template) -> None:
    """Outputs of CLUSTER-base."""
    for title, about in (
        ("Bucket", "documents, code and payloads"),
        ("NodeLogs", "log group of agents and workers"),
        ("DeciderLogs", "log group of deciders and the manager"),
    ):
        if title in template.resources:
            template.add_output(Output(title, Description=about, Value=Ref(title)))


def add_cluster(template: Template, cluster: values.Cluster, made: network.Made) -> None:
    """Outputs of CLUSTER."""
    outputs: dict[str, Any] = {
        "DecidersGroup": Ref("Deciders"),
        "WakeUpAlarm": Ref("WakeUpAlarm"),
        "BootAlarm": Ref("BootAlarm"),
        "Bucket": Ref("Bucket"),
        "Code": Ref("Code"),
        "Subnets": Join(",", made.subnets),
        "SecurityGroup": made.security_group,
    }
    for machine in cluster.profiles:
        outputs[f"Template{values.logical(machine.name)}"] = Ref(f"{values.logical(machine.name)}Template")
    for title, value in outputs.items():
        template.add_output(Output(title, Value=value))
