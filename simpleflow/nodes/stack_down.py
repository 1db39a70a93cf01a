"""``down``: everything that costs goes, in an order that loses no work and can be cut off anywhere."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Iterator
from typing import Protocol

from . import config, control, errors
from .providers import base as providers
from .providers import ec2
from .providers.ec2 import account as accounts
from .providers.ec2 import stackinfo
from .stack import Step, base_name, progress


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
    """Take a cluster down; what is gone already is no error. Yields after each step.

    Order: take the lease, silence the wake-up alarm, drain the workers, unprotect the deciders, set 0, delete
    (docs/design/nodes.md, "Down"). A protected member blocks the deletion of its group, which then takes hours to
    fail. Data is kept, unless ``purge``. ``file`` opens control.json in a bucket, ``drainer`` makes the manager's
    passes. Where the bucket was deleted by hand nothing can be drained, and workers are ended.
    """
    stack = account.formation.find(cluster.cluster)
    if stack is not None and stack.busy and not stack.status.startswith("DELETE"):
        # An ``up`` was cut off: its operation ends first, whatever it ends in.
        try:
            yield from progress(account.formation.watch(cluster.cluster, account.formation.newest_event(stack.name)))
        except errors.NodesError as error:
            yield Step(name=cluster.cluster, detail=str(error))
        stack = account.formation.find(cluster.cluster)
    info = _info(account, cluster, stack is not None)
    if info is not None:
        account.set_wake_up(info.wake_alarm, acts=False)
        yield Step(name="wake-up alarm", detail="silenced")
        ender = _Ender(provider)
        passes: Drainer = ender
        left: Callable[[], str] = ender.left
        if account.bucket(info.bucket).exists():
            opened = file(info.bucket)
            # A living manager sees another holder at its next write and stops acting: no need to wait for its lease.
            # The lease's moment is one of the provider's clock: machines measure by it how long they may stay.
            opened.replace(control.take(opened.read(), opened.holder, provider.list().begun))
            yield Step(name="lease", detail=f"taken by {opened.holder}")
            passes, left = drainer(opened), functools.partial(_left, provider, opened)
        else:
            yield Step(name="bucket", detail=f"'{info.bucket}' is gone: workers are ended, as none can be drained")
        while still := left():
            passes.run_pass()
            yield Step(name="drain", detail=still)
            wait(min(cluster.settings.loop, 5.0))
        yield Step(name="workers", detail="none")
        yield from _empty_group(cluster, account, info, passes, wait)
    if account.formation.find(cluster.cluster) is not None:
        since = account.formation.newest_event(cluster.cluster)
        account.formation.delete(cluster.cluster)
        yield Step(name=cluster.cluster, detail="deletion began")
        yield from progress(account.formation.watch(cluster.cluster, since))
    yield Step(name=cluster.cluster, detail="gone")
    if purge:
        yield from _purge(cluster, account)


def _info(account: accounts.Account, cluster: config.ClusterConfig, exists: bool) -> stackinfo.StackInfo | None:
    """What the stack made; None when it is gone, or never came so far as to have a group."""
    if not exists:
        return None
    try:
        info = stackinfo.read(account.clients, cluster.cluster)
        ec2.Ec2DeciderGroup(cluster.cluster, account.clients, info.group).read()
    except errors.ProviderRefused:
        return None
    return info


class _Ender:
    """Ends every worker (Drainer): without documents nobody can say that it has drained."""

    def __init__(self, provider: providers.NodeProvider) -> None:
        self._provider = provider

    def _living(self) -> list[providers.Instance]:
        return [each for each in self._provider.list().instances if each.state != "terminated"]

    def left(self) -> str:
        """How many workers there are still; '' for none."""
        return f"{len(living)} workers left" if (living := self._living()) else ""

    def run_pass(self) -> None:
        """End them; repeating does no harm."""
        for each in self._living():
            self._provider.terminate(each.id)


def _left(provider: providers.NodeProvider, file: control.ControlFile) -> str:
    """What keeps the workers' part from its end; '' when nothing does.

    A launch that was cut off counts: its machine may be listed minutes later, when nobody would end it any more.
    """
    living = sum(each.state != "terminated" for each in provider.list().instances)
    document = file.read()
    launches = [each for each in document.intents if each.kind == "launch"]
    if not (living or launches or document.rows):
        return ""
    unsettled = "" if living or not launches else f"; {len(launches)} launches that may still come (at most 21 minutes)"
    return f"{living} workers left{unsettled}"


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
    while members := group.read().members:
        for member in members:
            if member.protected:
                group.unprotect(member.instance)
        # The lease stays ours: a manager that took it back would launch again for what is still open.
        passes.run_pass()
        yield Step(name="deciders", detail=f"{len(members)} left")
        wait(min(cluster.settings.loop, 5.0))
    yield Step(name="deciders", detail="none")


def _purge(cluster: config.ClusterConfig, account: accounts.Account) -> Iterator[Step]:
    name = base_name(cluster.cluster)
    stack = account.formation.find(name)
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
    since = account.formation.newest_event(name)
    account.formation.delete(name)
    yield from progress(account.formation.watch(name, since))
    yield Step(name=name, detail="gone")
