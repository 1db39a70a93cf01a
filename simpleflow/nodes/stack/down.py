"""``down``: everything that costs goes, in an order that loses no work and can be cut off anywhere."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Iterator
from typing import Protocol

from simpleflow.core import clock as clocks
from simpleflow.core import documents, text
from simpleflow.core import errors as core_errors
from simpleflow.nodes import config, control, errors, published
from simpleflow.nodes.bundle import bundle
from simpleflow.nodes.providers import base as providers
from simpleflow.nodes.providers import ec2
from simpleflow.nodes.providers.ec2 import account as accounts
from simpleflow.nodes.providers.ec2 import stackinfo

from . import decider_bills
from .up import Step, base_name, bucket_of, documents_of, progress

#: folders that a cluster keeps in the user's bucket, beside its two documents; other objects are not its own
OWN_FOLDERS = (
    *(documents.NODES_PREFIX, documents.DEMAND_PREFIX, documents.LEDGER_PREFIX),
    *("code/", "templates/", "boots/", "blobs/"),
)
#: looks in a row that may fail before `down` gives up
_LOOKS = 20


class Drainer(Protocol):
    """The manager's passes with nothing to launch (reconcile.Reconciler with ``ending``)."""

    def run_pass(self) -> None:
        """Run one pass."""


def down(
    cluster: config.ClusterConfig,
    account: accounts.Account,
    file: Callable[[str], control.ControlFile],
    drainer: Callable[[control.ControlFile], Drainer],
    provider: providers.NodeProvider,
    *,
    purge: bool = False,
    wait: Callable[[float], None] = time.sleep,
) -> Iterator[Step]:
    """Take a cluster down; what is gone already is not an error. Yields after each step.

    Order: take the lease, silence the wake-up alarm, drain the workers, unprotect the deciders, set 0, delete
    (docs/design/nodes.md, "Down"). A protected member blocks the deletion of its group, which then takes hours to
    fail. Data is kept, unless ``purge``. ``file`` opens control.json in a bucket, ``drainer`` makes the manager's
    passes. Where the bucket was deleted by hand nothing can be drained, and workers are ended.
    """
    stack = account.formation.find_own(cluster.cluster, cluster.cluster)
    # Before anything is taken down: what --purge would not delete in the end it says at once.
    base = account.formation.find_own(base_name(cluster.cluster), cluster.cluster)
    if stack is not None and stack.busy and not stack.status.startswith("DELETE"):
        # An ``up`` was cut off: its operation ends first, whatever it ends in.
        try:
            yield from progress(account.formation.watch(cluster.cluster, account.formation.newest_event(stack.name)))
        except errors.NodesError as error:
            yield Step(name=cluster.cluster, detail=str(error))
        stack = account.formation.find_own(cluster.cluster, cluster.cluster)
    info = _info(account, cluster, stack is not None)
    bucket = info.bucket if info is not None else bucket_of(cluster, dict(base.outputs) if base is not None else {})
    if info is not None:
        try:
            account.set_wake_up(info.wake_alarm, acts=False)
            yield Step(name="wake-up alarm", detail="silenced")
        except errors.NodesError as error:
            # It may raise the group once more, which is emptied again; the alarm goes with the stack.
            yield Step(name="wake-up alarm", detail=f"not silenced: {error}")
    opened = file(bucket) if bucket and account.bucket(bucket).exists() else None
    ender = _Ender(provider)
    passes: Drainer = ender
    left = _Patient(ender.left if opened is None else functools.partial(_left, provider, opened))
    # Workers are not the stack's: where it, or its group, was deleted by hand they would stay for ever.
    if info is not None or left():
        if opened is None:
            gone = f"'{bucket}' is gone" if bucket else "there is none"
            yield Step(name="bucket", detail=f"{gone}: workers are ended, as none can be drained")
        else:
            # A living manager sees another holder at its next write and stops acting: no need to wait for its lease.
            # The lease's moment is one of the provider's clock: machines measure by it how long they may stay.
            moment = provider.list().begun
            opened.change(functools.partial(control.take, holder=opened.holder, now=moment))
            yield Step(name="lease", detail=f"taken by {opened.holder}")
            passes = drainer(opened)
        while still := left():
            passes.run_pass()
            yield Step(name="drain", detail=still)
            wait(min(cluster.settings.loop, 5.0))
        yield Step(name="workers", detail="none")
    if info is not None:
        yield from _empty_group(cluster, account, info, passes, wait)
        if opened is not None:
            yield from _keep_bills(cluster, account, info, opened)
    left_over = account.formation.find_own(cluster.cluster, cluster.cluster)
    if left_over is not None:
        since = account.formation.newest_event(left_over.id)
        account.formation.delete(left_over.id)
        yield Step(name=cluster.cluster, detail="deletion began")
        yield from progress(account.formation.watch(left_over.id, since))
    yield Step(name=cluster.cluster, detail="gone")
    if purge:
        yield from _purge(cluster, account)


def _info(account: accounts.Account, cluster: config.ClusterConfig, exists: bool) -> stackinfo.StackInfo | None:
    """What the stack made; None when it is gone, or never came so far as to have a group, or lost it.

    A look that is refused says nothing of what stands: it raises, or the stack would be deleted under its machines.
    """
    if not exists:
        return None
    try:
        info = stackinfo.read(account.clients, cluster.cluster)
        ec2.Ec2DeciderGroup(cluster.cluster, account.clients, info.group).read()
    except errors.NotThere:
        return None
    return info


class _Patient:
    """A look whose answer may fail to come some times in a row: a drain of hours must not end at one of them.

    Given up half-way, a manager would take the lease back and launch for what is still open.
    """

    def __init__(self, look: Callable[[], str]) -> None:
        self._look = look
        self._failed = 0

    def __call__(self) -> str:
        """What is left, '' for nothing; raises the look's last error when it has failed too often."""
        try:
            found = self._look()
        except (errors.ProviderThrottled, errors.ProviderUnclear, errors.ControlLost) as error:
            self._failed += 1
            if self._failed == _LOOKS:
                raise
            return f"what is left cannot be told now: {error}"
        self._failed = 0
        return found


class _Ender:
    """Ends every worker (Drainer): without documents nobody can say that it has drained."""

    def __init__(self, provider: providers.NodeProvider) -> None:
        self._provider = provider
        #: machine -> why it could not be ended at the last pass
        self._refused: dict[str, str] = {}

    def _living(self) -> list[providers.Instance]:
        return [each for each in self._provider.list().instances if each.state != "terminated"]

    def left(self) -> str:
        """How many workers there are still; '' for none."""
        refusals = "".join(f"; {each}" for each in self._refused.values())
        return f"{text.count(len(living), 'worker')} left{refusals}" if (living := self._living()) else ""

    def run_pass(self) -> None:
        """End them, each by itself; repeating does no harm, and what is refused now is tried again."""
        self._refused = {}
        try:
            living = self._living()
        except errors.NodesError:
            return  # `left` tells it
        for each in living:
            try:
                self._provider.terminate(each.id)
            except errors.NodesError as error:
                self._refused[each.id] = str(error)


def _left(provider: providers.NodeProvider, file: control.ControlFile) -> str:
    """What keeps the workers' part from its end; '' when nothing does.

    A launch that was cut off counts: its machine may be listed minutes later, when nobody would end it any more.
    """
    living = sum(each.state != "terminated" for each in provider.list().instances)
    document = file.read()
    troubles = "".join(f"; {each}" for each in document.troubles)
    launches = [each for each in document.intents if each.kind == "launch"]
    if not (living or launches or document.rows):
        return ""
    coming = text.count(len(launches), "launch", "launches")
    unsettled = "" if living or not launches else f"; {coming} that may still come (at most 21 minutes)"
    return f"{text.count(living, 'worker')} left{unsettled}{troubles}"


def _empty_group(
    cluster: config.ClusterConfig,
    account: accounts.Account,
    info: stackinfo.StackInfo,
    passes: Drainer,
    wait: Callable[[float], None],
) -> Iterator[Step]:
    group = ec2.Ec2DeciderGroup(cluster.cluster, account.clients, info.group)
    group.close()
    yield Step(name="decider group", detail="set to 0")
    left = _Patient(functools.partial(_unprotected, group))
    while still := left():
        # The lease stays ours: a manager that took it back would launch again for what is still open.
        passes.run_pass()
        yield Step(name="deciders", detail=still)
        wait(min(cluster.settings.loop, 5.0))
    yield Step(name="deciders", detail="none")


def _keep_bills(
    cluster: config.ClusterConfig, account: accounts.Account, info: stackinfo.StackInfo, opened: control.ControlFile
) -> Iterator[Step]:
    """Write down what the deciders cost: with the group goes what Auto Scaling knows of its machines."""
    try:
        lives = ec2.Ec2DeciderGroup(cluster.cluster, account.clients, info.group).lives(0.0)
        count = decider_bills.keep(opened.store, cluster, lives, time.time())
    except core_errors.SimpleflowError as error:
        yield Step(name="bills", detail=f"what the deciders cost is not kept: {error}")
        return
    if count:
        yield Step(name="bills", detail=f"machines of deciders that `sfnodes cost` still counts: {count}")


def _unprotected(group: ec2.Ec2DeciderGroup) -> str:
    """Unprotect what is left in a group, and say how many that are; '' for none."""
    members = group.read().members
    refused = ""
    for member in members:
        if member.protected:
            try:
                group.unprotect(member.instance)
            except errors.NodesError as error:
                refused += f"; {error}"
    return f"{len(members)} left{refused}" if members else ""


def _purge(cluster: config.ClusterConfig, account: accounts.Account) -> Iterator[Step]:
    name = base_name(cluster.cluster)
    stack = account.formation.find_own(name, cluster.cluster)
    prefix = bundle.prefix_of(cluster)
    if prefix and account.bucket(bucket_of(cluster, {})).exists():
        folder = account.bucket(bucket_of(cluster, {}))
        _require_documents(account, cluster)
        for each in OWN_FOLDERS:
            folder.clear(prefix + each)
        # The documents last: until then they say whose the folder is.
        for key in (documents.DECIDERS_KEY, documents.CONTROL_KEY, documents.CLUSTER_KEY):
            folder.delete_object(prefix + key)
        yield Step(
            name="documents",
            detail=f"the cluster's, below s3://{folder.name}/{prefix}, are deleted; the bucket is yours",
        )
    if stack is None:
        yield Step(name=name, detail="gone")
        return
    outputs = dict(stack.outputs)
    # The bucket before its stack: cut off in between, the stack's outputs still name what is left.
    if "Bucket" in outputs:
        account.bucket(outputs["Bucket"]).destroy()
        yield Step(name="bucket", detail=f"{outputs['Bucket']} deleted")
    for title in ("NodeLogs", "DeciderLogs"):
        if title in outputs:
            account.delete_log_group(outputs[title])
    yield Step(name="logs", detail="deleted")
    since = account.formation.newest_event(stack.id)
    account.formation.delete(stack.id)
    yield from progress(account.formation.watch(stack.id, since))
    yield Step(name=name, detail="gone")


def _require_documents(account: accounts.Account, cluster: config.ClusterConfig) -> None:
    """Raise NodesError when the cluster's folder of a shared bucket holds another cluster's documents."""
    opened = documents_of(cluster, account, "")
    published.read(opened, cluster.cluster)
    control.ControlFile(opened, cluster.cluster, "purge", clocks.RealClock()).read()
