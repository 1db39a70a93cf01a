"""What an update of the stack must not do to living machines."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import msgspec

from simpleflow.core import clock as clocks
from simpleflow.core import documents
from simpleflow.nodes import config, errors
from simpleflow.nodes.providers import ec2
from simpleflow.nodes.providers.ec2 import account as accounts
from simpleflow.nodes.providers.ec2 import stackinfo

from . import plan

#: machines stand in these: CloudFormation could not take them away, and rolls back after an hour
_UNDER_MACHINES = frozenset({"AWS::EC2::VPC", "AWS::EC2::Subnet", "AWS::EC2::SecurityGroup"})


class Kept(msgspec.Struct, frozen=True, kw_only=True):
    """The template as it can be deployed now."""

    template: str
    #: profiles that the file does not name any more -> how many of their machines live
    living: Mapping[str, int]


def _workers(cluster: config.ClusterConfig, account: accounts.Account) -> Counter[str]:
    """Living machines by profile."""
    listed = ec2.Ec2Provider(cluster, account.clients, clocks.RealClock()).list().instances
    return Counter(each.profile for each in listed if each.state != "terminated")


def _deciders(cluster: config.ClusterConfig, account: accounts.Account) -> int:
    try:
        return len(ec2.Ec2DeciderGroup(cluster.cluster, account.clients).read().members)
    except errors.NotThere:
        return 0  # the stack never came so far, or the group was deleted by hand


def refuse_moved(cluster: config.ClusterConfig, account: accounts.Account, new: str) -> None:
    """Raise NodesError when the update would replace a VPC, or replace or remove a network under living machines."""
    moved = [
        each
        for each in plan.diff(account.formation.template(cluster.cluster), new)
        if each.kind in _UNDER_MACHINES and (each.replaced or each.action == "remove")
    ]
    if not moved:
        return
    living = _workers(cluster, account).total() + _deciders(cluster, account)
    # Its gateway would have to be attached to the new one before it leaves the old one: refused, machines or none.
    renewed = any(each.kind == "AWS::EC2::VPC" and each.replaced for each in moved)
    if living or renewed:
        raise errors.NodesError(
            f"network: {', '.join(each.resource for each in moved)} would be replaced under {living} living machines, "
            "which CloudFormation cannot do. Nothing was changed; `sfnodes down` with the old file, then `sfnodes up` "
            "with the new one"
        )


def kept(cluster: config.ClusterConfig, account: accounts.Account, new: str, control: documents.Control) -> Kept:
    """Leave the roles of removed profiles in the stack as long as machines of theirs live, or may come.

    Call it when managers can launch none of them any more.
    """
    old = account.formation.template(cluster.cluster)
    before = msgspec.json.decode(old)["Resources"] if old else {}
    template = msgspec.json.decode(new)
    suffix = "InstanceProfile"
    removed = {
        name.removesuffix(suffix) for name in before if name.endswith(suffix) and name not in template["Resources"]
    }
    if not removed:
        return Kept(template=new, living={})
    found = _workers(cluster, account)
    for row in control.rows:
        found.setdefault(row.profile, 1)
    for intent in control.intents:
        if intent.kind == "launch":
            found[intent.profile] += intent.units
    living = {name: units for name, units in sorted(found.items()) if stackinfo.logical(name) in removed}
    for name in living:
        for resource in (f"{stackinfo.logical(name)}Role", f"{stackinfo.logical(name)}{suffix}"):
            if resource in before:
                template["Resources"][resource] = before[resource]
    return Kept(template=msgspec.json.encode(template).decode() if living else new, living=living)
