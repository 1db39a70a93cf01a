"""``status`` of a cluster on EC2: stacks, the decider group, alarms, workers, and what the documents show."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from simpleflow.core import errors as core_errors
from simpleflow.core import text
from simpleflow.data.blobs import base as blobs
from simpleflow.nodes import billing, config, errors, published, setups
from simpleflow.nodes.bundle import bundle
from simpleflow.nodes.bundle import code as codes
from simpleflow.nodes.manager import report
from simpleflow.nodes.policy import cost
from simpleflow.nodes.providers import base as providers
from simpleflow.nodes.providers import ec2
from simpleflow.nodes.providers.ec2 import account as accounts
from simpleflow.nodes.providers.ec2 import formation, stackinfo

from . import decider_bills
from .up import BOOTS_KEY, base_name, bucket_of, documents_of, store_url


class StackStatus(report.Work, frozen=True, kw_only=True):
    """State of a cluster's stacks, and the state of its work from the documents, as with other providers."""

    #: stack -> its status, '' when there is none
    stacks: dict[str, str]
    #: the first resource that failed, with its reason
    cause: str = ""
    desired: int = 0
    deciders: tuple[str, ...] = ()
    #: False once the boot guard stopped the group
    launches: bool = True
    #: alarm's role ('wake-up', 'boot') -> state
    alarms: dict[str, str] = {}
    bucket: str = ""
    workers: tuple[providers.Instance, ...] = ()


def _own(
    account: accounts.Account, cluster: str, names: tuple[str, ...]
) -> tuple[dict[str, formation.Stack | None], tuple[str, ...]]:
    """Return the cluster's stacks by name, and notes on stacks of these names that another cluster owns."""
    found: dict[str, formation.Stack | None] = {}
    notes = []
    for name in names:
        found[name] = None
        try:
            found[name] = account.formation.find_own(name, cluster)
        except errors.ProviderRefused as error:
            notes.append(str(error))
    return found, tuple(notes)


def _alarm(account: accounts.Account, name: str) -> str:
    try:
        return account.alarm_state(name)
    except errors.NodesError as error:
        return f"unknown: {error}"


def _group_notes(
    cluster: config.ClusterConfig, account: accounts.Account, info: stackinfo.StackInfo, size: ec2.Size
) -> tuple[str, ...]:
    """Return problems of the deciders: launches that were refused, boots that failed, a group that was stopped."""
    notes = []
    try:
        refused = ec2.Ec2DeciderGroup(cluster.cluster, account.clients, info.group).refusals()
        notes += [f"the decider group could not launch a machine: {each}" for each in refused]
    except errors.NodesError as error:
        notes.append(f"the decider group's activities cannot be read: {error}")
    try:
        boots = account.bucket(info.bucket).read(bundle.prefix_of(cluster) + BOOTS_KEY)
    except errors.NodesError as error:
        notes.append(f"the deciders' boot counter cannot be read: {error}")
        boots = None
    try:
        counted = _Boots() if boots is None else msgspec.json.decode(boots, type=_Boots)
    except msgspec.DecodeError as error:
        notes.append(f"the deciders' boot counter cannot be read: {error}; `sfnodes up` makes it anew")
        counted = _Boots()
    if counted.reason and counted.boots:
        in_a_row = text.count(counted.boots, "boot")
        notes.append(f"{in_a_row} of deciders in a row did not become steady; the last said: {counted.reason}")
    if not size.launches:
        notes.append("the decider group launches no more: mend the code or image, then `sfnodes up` resumes it")
    return tuple(notes)


class _Boots(msgspec.Struct, frozen=True):
    """The boot counter (provisioning/node/fetch.py)."""

    boots: int = 0
    reason: str = ""


def decider_machines(
    cluster: config.ClusterConfig, account: accounts.Account, since: float, now: float
) -> tuple[report.NodeStatus, ...]:
    """Return the decider machines that lived at or after ``since``, each with its bill, after `down` too."""
    terms, price = cluster.deciders.billing, cluster.price_of(cluster.deciders)
    words = cost.words(terms, price, cluster.currency)
    shown: dict[str, report.NodeStatus] = {}
    bucket = _bucket(cluster, account)
    if bucket:
        for entry in decider_bills.read(documents_of(cluster, account, bucket)):
            if entry.ended >= since:
                age = max(entry.ended - entry.since, 0.0)
                shown[entry.instance] = _decider(
                    ec2.Life(instance=entry.instance, began=entry.since, ended=entry.ended),
                    billing.billed(terms, age),
                    entry.cost,
                    words,
                    now,
                )
    try:
        info = stackinfo.read(account.clients, cluster.cluster)
        lives = ec2.Ec2DeciderGroup(cluster.cluster, account.clients, info.group).lives(since)
    except errors.NotThere:
        lives = ()
    for life in lives:
        age = max((now if life.ended is None else life.ended) - life.began, 0.0)
        amount = billing.cost(terms, billing.micros(price or 0.0), age)
        shown[life.instance] = _decider(life, billing.billed(terms, age), amount, words, now)
    return tuple(shown.values())


def _bucket(cluster: config.ClusterConfig, account: accounts.Account) -> str:
    """Return the bucket of the documents, which outlives `down`; '' where there is none."""
    base = account.formation.find_own(base_name(cluster.cluster), cluster.cluster)
    name = bucket_of(cluster, {} if base is None else dict(base.outputs))
    return name if name and account.bucket(name).exists() else ""


def _decider(life: ec2.Life, billed: float, amount: int, terms: str, now: float) -> report.NodeStatus:
    return report.NodeStatus(
        node=life.instance,
        profile=setups.DECIDERS,
        state="working" if life.ended is None else "gone",
        launched=life.began,
        age=max((now if life.ended is None else life.ended) - life.began, 0.0),
        first_poll=None,
        busy=(),
        drained=None,
        ended=life.ended,
        running=(),
        reason="",
        health="ok",
        billed=billed,
        cost=amount,
        terms=terms,
        paid_until=None if life.ended is not None else life.began + billed,
    )


def status(
    cluster: config.ClusterConfig,
    account: accounts.Account,
    provider: providers.NodeProvider,
    open_store: Callable[[str], blobs.BlobStore] | None = None,
    *,
    since: float | None = None,
) -> StackStatus:
    """Look at everything once; what does not exist is shown as such, and is not an error.

    ``open_store`` opens the documents by their URL; without it they are not read. ``since`` (epoch seconds) leaves out
    machines that ended before.
    """
    names = (base_name(cluster.cluster), cluster.cluster)
    found, foreign = _own(account, cluster.cluster, names)
    listing = provider.list()
    listed = listing.instances
    shown = StackStatus(
        stacks={name: "" if stack is None else stack.status for name, stack in found.items()},
        workers=tuple(each for each in listed if each.state != "terminated"),
        currency=cluster.currency,
        notes=foreign,
    )
    main = found[cluster.cluster]
    if main is None:
        # What a cluster that went down has cost stands in its documents.
        try:
            bucket = _bucket(cluster, account)
        except errors.NodesError as error:
            return msgspec.structs.replace(shown, notes=(*shown.notes, f"the documents cannot be read: {error}"))
        seen = _with_documents(shown, cluster, listing, bucket, open_store, since) if bucket else shown
        return msgspec.structs.replace(shown, nodes=seen.nodes, cost=seen.cost)
    if "ROLLBACK" in main.status or main.status.endswith("FAILED"):
        shown = msgspec.structs.replace(shown, cause=account.formation.cause(main.name))
    try:
        info = stackinfo.read(account.clients, cluster.cluster)
        size = ec2.Ec2DeciderGroup(cluster.cluster, account.clients, info.group).read()
    except errors.NotThere as error:
        return msgspec.structs.replace(shown, notes=(*shown.notes, str(error)))
    except errors.NodesError as error:
        return msgspec.structs.replace(shown, notes=(*shown.notes, f"what stands cannot be looked at: {error}"))
    shown = _with_documents(shown, cluster, listing, info.bucket, open_store, since)
    group_notes = _group_notes(cluster, account, info, size)
    return msgspec.structs.replace(
        shown,
        notes=(*group_notes, *shown.notes),
        desired=size.desired,
        deciders=tuple(f"{each.instance} {each.state}" for each in size.members),
        launches=size.launches,
        alarms={"wake-up": _alarm(account, info.wake_alarm), "boot": _alarm(account, info.boot_alarm)},
        bucket=info.bucket,
    )


def _with_documents(
    shown: StackStatus,
    cluster: config.ClusterConfig,
    listing: providers.Listing,
    bucket: str,
    open_store: Callable[[str], blobs.BlobStore] | None,
    since: float | None,
) -> StackStatus:
    if open_store is None:
        return shown
    states = {each.id: each.state for each in listing.instances}
    try:
        store = open_store(store_url(cluster, bucket))
        found_file = published.read(store, cluster.cluster)
        works_by = codes.for_machines(cluster) if found_file is None else found_file.config
        seen = report.look(works_by, store, states.get, since=since, now=listing.begun)
        changed = published.not_taken_up(works_by, codes.for_machines(cluster), "the cluster file")
        seen = msgspec.structs.replace(seen, notes=(*shown.notes, *changed, *seen.notes))
    except core_errors.SimpleflowError as error:
        seen = report.Work(currency=cluster.currency, notes=(*shown.notes, f"the documents cannot be read: {error}"))
    return msgspec.structs.replace(shown, **{name: getattr(seen, name) for name in report.Work.__struct_fields__})
