"""The deciders' Auto Scaling group, as clients, deciders and the manager may set it (docs/design/control.md, part 2).

Client and alarm only raise it from 0 to 1; the manager alone sets 1 to max; only the lease holder, alone, sets 0.
"""

from __future__ import annotations

import logging
import re
from typing import Any

import msgspec

from simpleflow.nodes import errors

from . import clients, stackinfo

#: newest activities of the group that are looked at
_ACTIVITIES = 20
#: how Auto Scaling describes the begin and the end of a machine
_LIFE = re.compile(r"(Launching|Terminating) (?:a new )?EC2 instance: (i-[0-9a-f]+).*", re.DOTALL)

logger = logging.getLogger(__name__)


class Member(msgspec.Struct, frozen=True, kw_only=True):
    """One decider machine."""

    instance: str
    #: the state as Auto Scaling names it: Pending, InService, Terminating, ...
    state: str
    protected: bool


class Size(msgspec.Struct, frozen=True, kw_only=True):
    """Size and members of the group, of one call."""

    desired: int
    least: int
    most: int
    members: tuple[Member, ...] = ()
    #: the boot guard suspended it
    launches: bool = True


class Life(msgspec.Struct, frozen=True, kw_only=True):
    """When one decider machine lived, by the activities of its group. Epoch seconds."""

    instance: str
    began: float
    #: None while it lives
    ended: float | None = None


class Ec2DeciderGroup:
    """The decider group of a cluster (ensure.DeciderGroup). Thread safe."""

    def __init__(self, cluster: str, made: clients.Clients, name: str = "") -> None:
        self._cluster = cluster
        self._clients = made
        self._name = name

    @property
    def name(self) -> str:
        """Name of the group: given, or the stack's output."""
        if not self._name:
            self._name = stackinfo.read(self._clients, self._cluster).group
        return self._name

    def _call(self, call: str, what: str, **parameters: Any) -> Any:
        name = self.name
        with clients.mapped(f"{what} of decider group '{name}'"):
            return getattr(self._clients.get("autoscaling"), call)(AutoScalingGroupName=name, **parameters)

    def read(self) -> Size:
        """Describe the group; raises NotThere when it is gone."""
        with clients.mapped(f"reading decider group '{self.name}'"):
            answer = self._clients.get("autoscaling").describe_auto_scaling_groups(AutoScalingGroupNames=[self.name])
        if not answer["AutoScalingGroups"]:
            raise errors.NotThere(f"decider group '{self.name}' is gone; `sfnodes up` makes it again")
        group = answer["AutoScalingGroups"][0]
        return Size(
            desired=group["DesiredCapacity"],
            least=group["MinSize"],
            most=group["MaxSize"],
            members=tuple(
                Member(
                    instance=each["InstanceId"],
                    state=each["LifecycleState"],
                    protected=bool(each.get("ProtectedFromScaleIn")),
                )
                for each in group.get("Instances", [])
            ),
            launches=all(each["ProcessName"] != "Launch" for each in group.get("SuspendedProcesses", [])),
        )

    def refusals(self) -> tuple[str, ...]:
        """Return why the newest launches of the group failed, as Auto Scaling words it; () after one that succeeded."""
        activities = self._call("describe_scaling_activities", "reading the activities", MaxRecords=_ACTIVITIES)
        found: list[str] = []
        for each in activities["Activities"]:
            if not str(each.get("Description", "")).startswith("Launching"):
                continue
            if each["StatusCode"] == "Successful":
                break
            if each["StatusCode"] in ("Failed", "Cancelled"):
                found.append(str(each.get("StatusMessage") or each.get("Cause") or each["StatusCode"]))
        return tuple(dict.fromkeys(found))

    def lives(self, since: float) -> tuple[Life, ...]:
        """Return the machines that lived at or after ``since``, oldest first. Auto Scaling remembers six weeks."""
        found: dict[str, Life] = {}
        page: dict[str, Any] = {}
        ends: dict[str, float] = {}
        while True:
            answer = self._call("describe_scaling_activities", "reading the activities", **page)
            for each in answer["Activities"]:  # the newest first: a machine's end comes before its begin
                named = _LIFE.fullmatch(str(each.get("Description", "")))
                if named is None or each["StatusCode"] in ("Failed", "Cancelled"):
                    continue
                moment, instance = each["StartTime"].timestamp(), named[2]
                if named[1] == "Terminating":
                    ends[instance] = moment
                else:
                    found[instance] = Life(instance=instance, began=moment, ended=ends.get(instance))
            if not answer.get("NextToken"):
                break
            page = {"NextToken": answer["NextToken"]}
        lived = (each for each in found.values() if each.ended is None or each.ended >= since)
        return tuple(sorted(lived, key=lambda each: (each.began, each.instance)))

    def ensure_one(self) -> None:
        """Raise the group from 0 to 1; any other size is left alone.

        Another number set between look and call is overwritten by 1; members are protected, so nobody is ended by it,
        and the manager, who alone sets more, sets it again at its next pass.
        """
        size = self.read()
        if size.desired == 0:
            self._set(1)
        if not size.launches:
            # No error: a decider that came up after all must be able to work, and a start is kept until one comes.
            logger.warning(
                "three deciders of '%s' in a row did not boot, the group launches no more; `sfnodes status` shows "
                "why, `sfnodes up` resumes it",
                self._cluster,
                extra={"action": "ensure"},
            )

    def set(self, wanted: int) -> None:
        """Set 1 to max: the manager only."""
        size = self.read()
        if not 1 <= wanted <= size.most:
            raise errors.ProviderRefused(f"decider group '{self.name}': {wanted} is not between 1 and {size.most}")
        if size.desired != wanted:
            self._set(wanted)

    def sleep(self) -> None:
        """Set 0: the lease holder only, alone in the group."""
        self._set(0)

    def close(self) -> None:
        """Keep the group at 0 for good: ``down`` only. Its minimum would bring a decider back."""
        self._call("update_auto_scaling_group", "closing", MinSize=0, DesiredCapacity=0)

    def desired(self) -> int:
        """The number that the group wants now."""
        return self.read().desired

    def alone(self) -> bool:
        """Whether there is one member at most, and no more are wanted."""
        size = self.read()
        return size.desired <= 1 and len(size.members) <= 1

    def _set(self, wanted: int) -> None:
        self._call("set_desired_capacity", "setting the size", DesiredCapacity=wanted, HonorCooldown=False)

    def unprotect(self, instance: str) -> None:
        """Drop a member's protection: an extra decider that has drained. One that is gone is not an error."""
        try:
            self._call(
                "set_instance_protection",
                "dropping the protection",
                InstanceIds=[instance],
                ProtectedFromScaleIn=False,
            )
        except errors.ProviderRefused:
            if any(each.instance == instance and each.protected for each in self.read().members):
                raise

    def resume(self) -> None:
        """Let the group launch again after the boot guard stopped it."""
        self._call("resume_processes", "resuming launches", ScalingProcesses=["Launch"])
