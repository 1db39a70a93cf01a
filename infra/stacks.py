"""The two stacks assembled: CLUSTER-base (kept) and CLUSTER. The same values give the same text, byte for byte."""

from __future__ import annotations

import json
from typing import Any

from troposphere import Parameter, Template

from . import bucket, deciders, launch_templates, logs, network, outputs, roles, values

#: CloudFormation's limits on a template's text in bytes: sent directly, and from S3
DIRECT_LIMIT = 51_200
UPLOADED_LIMIT = 1_000_000


def base(cluster: values.Cluster) -> dict[str, Any]:
    """CLUSTER-base: what is kept when the cluster goes down."""
    template = Template()
    template.set_version()
    template.set_description(f"simpleflow {cluster.name}: bucket and logs, kept by down")
    if not cluster.bucket:
        bucket.add(template, cluster)
    logs.add(template, cluster)
    outputs.add_base(template)
    return _plain(template)


def main(cluster: values.Cluster) -> dict[str, Any]:
    """CLUSTER: network, roles, launch templates, deciders."""
    template = Template()
    template.set_version()
    template.set_description(f"simpleflow {cluster.name}: network, roles, launch templates, deciders")
    for title, about in (
        ("Bucket", "the cluster's bucket"),
        ("Code", "SHA-256 of the code bundle, code/SHA256.tar.gz below the bucket"),
        ("NodeLogs", "log group of agents and workers"),
        ("DeciderLogs", "log group of deciders and the manager"),
    ):
        template.add_parameter(Parameter(title, Type="String", Description=about))
    made = network.add(template, cluster)
    profiles = roles.add(template, cluster)
    for machine in cluster.profiles:
        launch_templates.add(template, cluster, machine, profiles[machine.name], made, "worker")
    own = launch_templates.add(template, cluster, cluster.deciders, profiles[cluster.deciders.name], made, "decider")
    deciders.add(template, cluster, own, made)
    outputs.add_cluster(template, cluster, made)
    return _plain(template)


def _plain(template: Template) -> dict[str, Any]:
    plain: dict[str, Any] = json.loads(template.to_json())
    return plain


def text(template: dict[str, Any]) -> str:
    """A template's text: sorted, one space of indent (a byte counts twice when the limit is near)."""
    return json.dumps(template, sort_keys=True, indent=1, ensure_ascii=False) + "\n"
