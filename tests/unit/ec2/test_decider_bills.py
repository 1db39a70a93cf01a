"""What machines of deciders cost is known after their group is gone."""

from __future__ import annotations

import time

import msgspec

from simpleflow.core import documents
from simpleflow.nodes import config
from simpleflow.nodes.bundle import bundle
from simpleflow.nodes.providers import ec2
from simpleflow.nodes.stack import status
from simpleflow.nodes.stack import up as stack
from simpleflow.testing import cloud as emulated

from .test_stack import World, names


def test_what_deciders_cost_is_known_after_down(
    cluster: config.ClusterConfig, builder: bundle.Builder, cloud: emulated.Cloud
) -> None:
    world = World(cluster, builder, cloud)
    names(world.up())
    [bucket] = [each["Name"] for each in world.cloud.client("s3").list_buckets()["Buckets"]]
    world.store = stack.documents_of(world.cluster, world.account, bucket)
    begun, group = time.time(), ec2.Ec2DeciderGroup("demo", world.made)
    group.ensure_one()
    [member] = group.read().members
    entry = documents.LedgerEntry(
        instance="i-0", profile="small", attempt="a", price=1, since=begun, ended=begun + 9, cost=7
    )
    world.store.put("ledger/i-0.json", msgspec.json.encode(entry))
    names(world.down())
    now = begun + 3600
    [bill] = status.decider_machines(world.cluster, world.account, begun - 60, now)
    assert (bill.node, bill.profile, bill.state, bill.cost > 0) == (member.instance, "deciders", "gone", True)
    assert status.decider_machines(world.cluster, world.account, now, now) == ()
    shown = status.status(world.cluster, world.account, world.provider, lambda url: world.store)
    assert ([each.node for each in shown.nodes], shown.cost) == (["i-0"], shown.nodes[0].cost)
    # The next group has a machine of its own; the bill of the one before is not lost by another `down`.
    names(world.up())
    ec2.Ec2DeciderGroup("demo", world.made).ensure_one()
    names(world.down())
    assert len(status.decider_machines(world.cluster, world.account, begun - 60, now)) == 2
    names(world.down(purge=True))
    assert status.decider_machines(world.cluster, world.account, begun - 60, now) == ()
