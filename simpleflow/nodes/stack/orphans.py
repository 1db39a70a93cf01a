"""Machines of EC2 with the tag of a cluster whose stack is gone."""

from __future__ import annotations

from simpleflow.nodes import tags
from simpleflow.nodes.providers.ec2 import account as accounts
from simpleflow.nodes.providers.ec2 import clients

_ALIVE = ("pending", "running", "stopping", "stopped")


def find(account: accounts.Account, only: str | None = None) -> dict[str, tuple[str, ...]]:
    """Return cluster -> its machines in the account's region, for clusters without a stack.

    ``only`` looks at one cluster. Raises NodesError when the account does not answer.
    """
    wanted = [
        {"Name": f"tag:{tags.CLUSTER}", "Values": [only]} if only else {"Name": "tag-key", "Values": [tags.CLUSTER]},
        {"Name": "instance-state-name", "Values": list(_ALIVE)},
    ]
    found: dict[str, list[str]] = {}
    with clients.mapped("looking for machines of clusters"):
        for page in account.clients.get("ec2").get_paginator("describe_instances").paginate(Filters=wanted):
            for reservation in page["Reservations"]:
                for each in reservation["Instances"]:
                    own = {tag["Key"]: tag["Value"] for tag in each.get("Tags", [])}
                    found.setdefault(own.get(tags.CLUSTER, ""), []).append(each["InstanceId"])
    return {
        cluster: tuple(sorted(machines))
        for cluster, machines in sorted(found.items())
        if cluster and account.formation.find_own(cluster, cluster) is None
    }


def end(account: accounts.Account, machines: tuple[str, ...]) -> None:
    """End machines; a machine that is gone is not an error. Raises NodesError when the account does not answer."""
    for each in machines:
        with clients.mapped(f"ending {each}"):
            try:
                account.clients.get("ec2").terminate_instances(InstanceIds=[each])
            except Exception as error:
                if clients.code_of(error) != "InvalidInstanceID.NotFound":
                    raise
