"""What ``sfnodes`` does for clusters of provider ec2: stacks, the decider group, workers. Imported only for them."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import Any

import click
import msgspec

from simpleflow.core import clock as clocks
from simpleflow.nodes import (
    bundle,
    config,
    control,
    manager,
    paths,
    reconcile,
    run,
    service,
    stack,
    stack_down,
    stack_plan,
    stack_status,
    stores,
)
from simpleflow.nodes.providers import ec2
from simpleflow.nodes.providers.ec2 import account as accounts

from . import sfnodes_connect
from . import sfnodes_show as show


def _account(cluster: config.ClusterConfig) -> accounts.Account:
    return accounts.Account(ec2.BotoClients(cluster.region))


def _builder(cluster: config.ClusterConfig, folder: str | None) -> bundle.Builder:
    return bundle.Builder(cluster, bundle.Folders(folder or ""))


def _coordinator(cluster: config.ClusterConfig) -> service.SwfCoordinator:
    return service.SwfCoordinator(sfnodes_connect.transport(cluster), cluster.swf_domain)


def _follow(steps: Iterator[stack.Step], as_json: bool) -> list[Any]:
    """Show each step as it is done; return them all."""
    done = []
    for step in steps:
        done.append(msgspec.to_builtins(step))
        click.echo(f"{step.name}: {step.detail}", err=as_json)
    return done


def up(loaded: config.LoadedCluster, folder: str | None, as_json: bool) -> None:
    """Bring the stacks up, or to what the file says now."""
    cluster = loaded.config
    builder = _builder(cluster, folder)
    code = stack.code_builder(builder, loaded.path)
    coordinator = _coordinator(cluster)
    done = _follow(stack.up(cluster, _account(cluster), builder, code, coordinator.register_domain), as_json)
    show.message({"cluster": cluster.cluster, "steps": done}, f"cluster '{cluster.cluster}' is up", as_json)


def down(loaded: config.LoadedCluster, purge: bool, as_json: bool) -> None:
    """Drain the workers, then delete the stack; data stays, unless purged."""
    cluster = loaded.config
    clock = clocks.RealClock()
    provider = run.provider_of(cluster, paths.ClusterPaths(cluster, os.environ), os.getcwd())

    def file(bucket: str) -> control.ControlFile:
        store = stores.open_store(stack.store_url(cluster, bucket))
        return control.ControlFile(store, cluster.cluster, manager.holder_name(), clock)

    def drainer(opened: control.ControlFile) -> reconcile.Reconciler:
        made = reconcile.Reconciler(cluster, opened, provider, opened.store, _coordinator(cluster), clock)
        made.ending = True
        return made

    done = _follow(stack_down.down(cluster, _account(cluster), file, drainer, provider, purge=purge), as_json)
    show.message(
        {"cluster": cluster.cluster, "down": True, "steps": done}, f"cluster '{cluster.cluster}' is down", as_json
    )


def status(loaded: config.LoadedCluster, as_json: bool) -> None:
    """Stacks, deciders, alarms, workers."""
    cluster = loaded.config
    provider = run.provider_of(cluster, paths.ClusterPaths(cluster, os.environ), os.getcwd())
    found = stack_status.status(cluster, _account(cluster), provider)
    if as_json:
        click.echo(show.as_json_text(found))
        return
    for name, said in found.stacks.items():
        click.echo(f"stack '{name}': {said or 'none'}")
    if found.cause:
        click.echo(f"cause: {found.cause}")
    guard = "" if found.launches else " (the boot guard stopped it: mend the code or image, then `sfnodes up`)"
    click.echo(f"deciders: {found.desired} wanted{guard}; {', '.join(found.deciders) or 'none'}")
    for name, state in found.alarms.items():
        click.echo(f"alarm '{name}': {state}")
    rows = [[each.id, each.profile, each.state, each.instance_type, each.zone, each.market] for each in found.workers]
    if rows:
        show.table(["NODE", "PROFILE", "STATE", "TYPE", "ZONE", "MARKET"], rows)
    click.echo(f"{len(rows)} workers")


def plan(loaded: config.LoadedCluster, folder: str | None) -> Mapping[str, Any]:
    """The stack part of the plan: what ``up`` would change, and what it costs at rest."""
    cluster = loaded.config
    made = _builder(cluster, folder).templates()
    found = _account(cluster).formation
    changes = {
        name: stack_plan.diff(found.template(name), text)
        for name, text in ((stack.base_name(cluster.cluster), made.base), (cluster.cluster, made.main))
    }
    return {
        "changes": {name: [str(each) for each in some] for name, some in changes.items()},
        "at_rest": dict(stack_plan.at_rest(made.main)),
        "problems": list(made.problems),
    }


def template(loaded: config.LoadedCluster, folder: str | None, base: bool) -> str:
    """Text of one of the stacks' templates."""
    made = _builder(loaded.config, folder).templates()
    return made.base if base else made.main
