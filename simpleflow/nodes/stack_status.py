"""``status`` of a cluster on EC2: stacks, the decider group, alarms, workers."""

from __future__ import annotations

import msgspec

from . import config, errors
from .providers import base as providers
from .providers import ec2
from .providers.ec2 import account as accounts
from .providers.ec2 import stackinfo
from .stack import base_name


class StackStatus(msgspec.Struct, frozen=True, kw_only=True):
    """What stands."""

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


def status(cluster: config.ClusterConfig, account: accounts.Account, provider: providers.NodeProvider) -> StackStatus:
    """Look at everything once; what does not exist is shown as such, and is no error."""
    names = (base_name(cluster.cluster), cluster.cluster)
    found = {name: account.formation.find(name) for name in names}
    shown = StackStatus(
        stacks={name: "" if stack is None else stack.status for name, stack in found.items()},
        workers=tuple(each for each in provider.list().instances if each.state != "terminated"),
    )
    main = found[cluster.cluster]
    if main is None:
        return shown
    if "ROLLBACK" in main.status or main.status.endswith("FAILED"):
        shown = msgspec.structs.replace(shown, cause=account.formation.cause(main.name))
    try:
        info = stackinfo.read(account.clients, cluster.cluster)
        size = ec2.Ec2DeciderGroup(cluster.cluster, account.clients, info.group).read()
    except errors.ProviderRefused:
        return shown
    return msgspec.structs.replace(
        shown,
        desired=size.desired,
        deciders=tuple(f"{each.instance} {each.state}" for each in size.members),
        launches=size.launches,
        alarms={
            "wake-up": account.alarm_state(info.wake_alarm),
            "boot": account.alarm_state(info.boot_alarm),
        },
        bucket=info.bucket,
    )
