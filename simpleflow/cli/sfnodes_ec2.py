"""What ``sfnodes`` does for clusters of provider ec2: stacks, the decider group, workers. Imported only for them."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

from simpleflow.core import clock as clocks
from simpleflow.core import documents, text
from simpleflow.core import errors as core_errors
from simpleflow.nodes import config, control, errors, paths, published, stores
from simpleflow.nodes.bundle import bundle
from simpleflow.nodes.bundle import code as codes
from simpleflow.nodes.cluster import remembered
from simpleflow.nodes.manager import assemble, coordinator, decisions, manager, reconcile, report
from simpleflow.nodes.providers import base as providers
from simpleflow.nodes.providers import ec2
from simpleflow.nodes.providers.ec2 import account as accounts
from simpleflow.nodes.providers.ec2 import clients, stackinfo
from simpleflow.nodes.stack import down as stack_down
from simpleflow.nodes.stack import orphans as stack_orphans
from simpleflow.nodes.stack import plan as stack_plan
from simpleflow.nodes.stack import status as stack_status
from simpleflow.nodes.stack import up as stack_up

from . import output, sfnodes_connect
from . import sfnodes_show as show


def by_name(name: str, region: str) -> config.LoadedCluster:
    """Return a cluster without a file on this machine: as `up` published it in its bucket, else its name alone.

    Raises UsageError when the account has no stack of that name.
    """
    bare = config.ClusterConfig(
        cluster=name,
        provider="ec2",
        region=region,
        profiles={"unknown": config.Profile()},
        task_lists={"unknown": config.TaskList(profile="unknown", max=1)},
    )
    account = _account(bare)
    if all(account.formation.find_own(each, name) is None for each in (name, stack_up.base_name(name))):
        raise core_errors.UsageError(
            f"no file, no cluster and no stack of the name '{name}' was found (region {region}); give the path of the "
            "cluster file, or set AWS_DEFAULT_REGION to the cluster's region"
        )
    found = None
    with contextlib.suppress(errors.NodesError, core_errors.SimpleflowError):
        bucket = stackinfo.read(account.clients, name).bucket
        found = published.read(stores.open_store(stack_up.store_url(bare, bucket)), name)
    return config.LoadedCluster(path=name, config=bare if found is None else found.config)


def _account(cluster: config.ClusterConfig) -> accounts.Account:
    """Return the account. Raises UsageError for a region that does not exist, before any call."""
    return _in(cluster.region)


def _provider(cluster: config.ClusterConfig) -> providers.NodeProvider:
    return assemble.provider_of(cluster, paths.ClusterPaths(cluster, os.environ), os.getcwd())


def _file(cluster: config.ClusterConfig, bucket: str) -> control.ControlFile:
    store = stores.open_store(stack_up.store_url(cluster, bucket))
    return control.ControlFile(store, cluster.cluster, manager.holder_name(), clocks.RealClock())


def _builder(cluster: config.ClusterConfig, folder: str | None) -> bundle.Builder:
    return bundle.Builder(cluster, bundle.Folders(folder or ""))


def _coordinator(cluster: config.ClusterConfig) -> coordinator.SwfCoordinator:
    return coordinator.SwfCoordinator(sfnodes_connect.transport(cluster), cluster.swf_domain)


def _follow(steps: Iterator[stack_up.Step], as_json: bool, limit: float | None = None) -> tuple[list[Any], bool]:
    """Show each step as it is done; return them all, and whether the last was reached before ``limit`` (monotonic)."""
    done = []
    for step in steps:
        done.append(msgspec.to_builtins(step))
        output.say(f"{step.name}: {step.detail}", err=as_json)
        if limit is not None and time.monotonic() > limit:
            return done, False
    return done, True


def up(loaded: config.LoadedCluster, folder: str | None, as_json: bool) -> None:
    """Create the stacks, or update them to the present file."""
    cluster = loaded.config
    account = _account(cluster)
    builder = _builder(cluster, folder)
    steps = stack_up.up(
        cluster,
        account,
        builder,
        stack_up.code_builder(builder, loaded.path),
        # Checked last: an error about missing credentials comes first.
        lambda: _coordinator(cluster).register_domain(),
        lambda bucket: _file(cluster, bucket),
    )
    done, _ = _follow(steps, as_json)
    with contextlib.suppress(OSError):  # The stack is up nevertheless.
        own = codes.resolved_file(cluster, Path(loaded.path).parent)
        remembered.remember(msgspec.structs.replace(loaded, config=own), os.environ)
    show.message({"cluster": cluster.cluster, "steps": done}, f"cluster '{cluster.cluster}' is up", as_json)


def down(loaded: config.LoadedCluster, purge: bool, as_json: bool, *, now: bool, timeout: float | None) -> None:
    """Drain the workers, or with ``now`` end them, then delete the stack; data stays, unless purged."""
    cluster = loaded.config
    limit = None if timeout is None else time.monotonic() + timeout
    account = _account(cluster)
    provider = _provider(cluster)

    def drainer(opened: control.ControlFile) -> reconcile.Reconciler:
        clock = clocks.RealClock()
        made = reconcile.Reconciler(cluster, opened, provider, opened.store, _coordinator(cluster), clock)
        made.ending, made.hurry = True, now
        return made

    steps = stack_down.down(cluster, account, lambda bucket: _file(cluster, bucket), drainer, provider, purge=purge)
    done, gone = _follow(steps, as_json, limit)
    text = f"cluster '{cluster.cluster}' is down"
    if not gone:
        text = f"cluster '{cluster.cluster}' is not down yet; `sfnodes down {loaded.path}` goes on from here"
    show.message({"cluster": cluster.cluster, "down": gone, "steps": done}, text, as_json)
    if not gone:
        sys.exit(1)


def status(loaded: config.LoadedCluster, *, since: float | None) -> stack_status.StackStatus:
    """Stacks, deciders, alarms, workers, tasks, money."""
    cluster = loaded.config
    return stack_status.status(cluster, _account(cluster), _provider(cluster), stores.open_store, since=since)


def decider_machines(loaded: config.LoadedCluster, since: float) -> tuple[tuple[report.NodeStatus, ...], str]:
    """Return the machines of deciders that lived at or after ``since``, and what a person should know of them."""
    cluster = loaded.config
    try:
        found = stack_status.decider_machines(cluster, _account(cluster), since, time.time())
    except core_errors.SimpleflowError as error:
        return (), f"the machines of deciders are not counted: {error}"
    if found and cluster.price_of(cluster.deciders) is None:
        return found, "the deciders have no price, so they count as free: add deciders: {billing: {price: ...}}"
    return found, ""


def heading(found: stack_status.StackStatus) -> list[str]:
    """Return the lines about the stacks of a cluster."""
    lines = [f"stack '{name}': {status or 'none'}" for name, status in found.stacks.items()]
    if found.cause:
        lines.append(f"cause: {found.cause}")
    guard = "" if found.launches else " (the boot guard stopped it: mend the code or image, then `sfnodes up`)"
    lines.append(f"deciders: {found.desired} wanted{guard}; {', '.join(found.deciders) or 'none'}")
    lines += [f"alarm '{name}': {state}" for name, state in found.alarms.items()]
    shown = {each.node for each in found.nodes}
    for each in found.workers:
        where = " ".join(filter(None, (each.instance_type, each.zone, each.market)))
        row = "" if each.id in shown else ", of which no row is shown"
        lines.append(f"worker {each.id}: {each.profile}, {each.state}, {where}{row}")
    return [*lines, text.count(len(found.workers), "worker")]


def newest(loaded: config.LoadedCluster, found: stack_status.StackStatus) -> tuple[documents.Decision, ...]:
    """Return the newest decisions."""
    if not found.bucket:
        return ()
    store = stores.open_store(stack_up.store_url(loaded.config, found.bucket))
    return decisions.read(store, loaded.config.cluster)


def logs(loaded: config.LoadedCluster, node: str | None, lines: int) -> dict[str, str]:
    """The end of the consoles of the cluster's machines, deciders and workers; of one only when it is named."""
    cluster = loaded.config
    account = _account(cluster)
    provider = _provider(cluster)
    known = [each.id for each in provider.list().instances if node or each.state != "terminated"]
    try:
        group = stackinfo.read(account.clients, cluster.cluster).group
        known += [each.instance for each in ec2.Ec2DeciderGroup(cluster.cluster, account.clients, group).read().members]
    except errors.NotThere:
        pass  # The stack does not exist: only workers can have logs.
    if node is not None and node not in known:
        raise core_errors.UsageError(
            f"cluster '{cluster.cluster}' has no machine '{node}'; known: {', '.join(known) or 'none'}"
        )
    found = {each: _console(provider, each) for each in known if node in (None, each)}
    return {name: "\n".join(text.splitlines()[-lines:]) for name, text in found.items()}


def why(loaded: config.LoadedCluster, subject: str) -> tuple[documents.Decision, ...]:
    """Return the decisions about a machine, a task list or a profile from the bucket."""
    return decisions.about(loaded.config, stores.open_store(store_url(loaded)), subject)


def store_url(loaded: config.LoadedCluster) -> str:
    """Return the URL of the cluster's documents; raises ProviderRefused if the stack does not exist."""
    info = stackinfo.read(_account(loaded.config).clients, loaded.config.cluster)
    return stack_up.store_url(loaded.config, info.bucket)


def orphans(region: str, name: str | None) -> dict[str, tuple[str, ...]]:
    """Return cluster -> machines in a region, of clusters without a stack."""
    return stack_orphans.find(_in(region), name)


def end_orphans(region: str, found: Mapping[str, tuple[str, ...]]) -> None:
    """End machines that ``orphans`` found."""
    for machines in found.values():
        stack_orphans.end(_in(region), machines)


def _in(region: str) -> accounts.Account:
    if problem := clients.region_problem(region):
        raise core_errors.UsageError(problem)
    sfnodes_connect.use_region(region)
    return accounts.Account(ec2.BotoClients(region))


def _console(provider: providers.NodeProvider, machine: str) -> str:
    """Read one console; an error of one does not hide the others."""
    try:
        return provider.diagnose(machine)
    except errors.NodesError as error:
        return f"its console cannot be read: {error}"


def plan(loaded: config.LoadedCluster, folder: str | None) -> Mapping[str, Any]:
    """The stack part of the plan: what ``up`` would change, and what it costs at rest."""
    cluster = loaded.config
    made = _builder(cluster, folder).templates()
    found = _account(cluster).formation
    changes = {
        name: stack_plan.diff(found.template(name), text)
        for name, text in ((stack_up.base_name(cluster.cluster), made.base), (cluster.cluster, made.main))
    }
    return {
        "changes": {name: [str(each) for each in some] for name, some in changes.items()},
        "at_rest": dict(stack_plan.at_rest(made.main)),
        "problems": list(made.problems),
    }


def template(loaded: config.LoadedCluster, folder: str | None, base: bool) -> str:
    """Return the text of one of the two templates."""
    made = _builder(loaded.config, folder).templates()
    return made.base if base else made.main
