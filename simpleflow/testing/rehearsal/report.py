"""What a rehearsal tells at its end: what happened, what it would have cost, calls and rights, what only AWS shows."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import msgspec

from simpleflow.core import text
from simpleflow.nodes import billing, config

if TYPE_CHECKING:
    from simpleflow.testing.rehearsal import stage as stages

#: what no rehearsal shows (docs/only-on-aws.md has the whole table)
ONLY_ON_AWS = (
    "that AWS accepts the template: quotas, images, types per zone",
    "that the policies suffice: no record shows dependent actions (iam:PassRole, tags at launch)",
    "what SWF would refuse: its part is played by the embedded service, which asks nobody for rights",
    "TLS, security groups, routes and the hop limit in force",
    "delivery times of tags, alarms, metrics and credentials",
    "allocation strategies, capacity and real interruptions; prices",
    "how long groups, stacks and boots really take; what is throttled; that retention expires",
)


class Shown(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that was shown."""

    #: seconds from the begin
    at: float
    what: str
    how: str


class MachineBill(msgspec.Struct, frozen=True, kw_only=True):
    """One machine and what its life would have cost."""

    instance: str
    profile: str
    instance_type: str
    market: str
    #: seconds it lived here
    lived: float
    #: USD for that life, and for one as many times longer as the rehearsal is faster
    cost: float
    cost_at_factor: float


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """The report of a rehearsal."""

    factor: int
    #: seconds
    took: float
    shown: tuple[Shown, ...]
    machines: tuple[MachineBill, ...]
    #: role -> call -> how often
    calls: dict[str, dict[str, int]]
    #: calls that a role's policies do not allow: role, action, resource, times
    excess: tuple[tuple[str, str, str, int], ...]
    #: processes that outlived the cluster; empty when all is well
    left: tuple[str, ...]
    only_on_aws: tuple[str, ...] = ONLY_ON_AWS

    @property
    def cost(self) -> float:
        """USD of all machines, as long as they lived here."""
        return sum(one.cost for one in self.machines)

    def text(self) -> str:
        """The report for a terminal."""
        lines = [f"Rehearsed in {self.took:.0f} s; times of AWS divided by {self.factor}.", "", "Shown"]
        lines += [f"  {one.at:6.1f} s  {one.what}: {one.how}" for one in self.shown]
        lines += ["", "What the machines would have cost (prices of the cluster file, else emulated ones)"]
        for one in self.machines:
            lines.append(
                f"  {one.instance}  {one.profile:<10} {one.instance_type:<12} {one.market:<9} {one.lived:6.1f} s  "
                f"{one.cost:.4f} USD"
            )
        at_factor = sum(one.cost_at_factor for one in self.machines)
        lines.append(f"  in all {self.cost:.4f} USD; lives {self.factor} times as long: {at_factor:.4f} USD")
        lines += ["", "Calls, by whose rights"]
        for role, counted in sorted(self.calls.items()):
            lines.append(f"  {role}")
            lines += [f"    {name:<44} {times:>5}" for name, times in sorted(counted.items())]
        lines += ["", "Calls outside the roles' policies: " + ("none" if not self.excess else "")]
        for role, action, resource, times in self.excess:
            lines.append(f"  {role}: {action} on {resource}, {text.count(times, 'time')}")
        lines += ["", "What only AWS can show"]
        lines += [f"  {one}" for one in self.only_on_aws]
        lines += ["", "Left behind: " + (", ".join(self.left) or "nothing")]
        return "\n".join(lines)


def make(stage: stages.Stage, shown: list[Shown], took: float, left: list[str]) -> Report:
    """Make the report of a stage that is still open."""
    cloud = stage.cloud
    cluster = stage.loaded.config
    now = cloud.clock.now()
    machines = []
    for one in cloud.instances.all():
        profile = one.tags.get("simpleflow:profile", "")
        terms = cluster.profiles[profile].billing if profile in cluster.profiles else cluster.deciders.billing
        lived = (one.ended or now) - one.launched
        rate = billing.micros(terms.price if terms.price is not None else one.price)
        machines.append(
            MachineBill(
                instance=one.id,
                profile=profile or "decider",
                instance_type=one.type,
                market=one.market,
                lived=lived,
                cost=_cost(terms, rate, lived),
                cost_at_factor=_cost(terms, rate, lived * config.REHEARSAL_FACTOR),
            )
        )
    calls: dict[str, Counter[str]] = {}
    for call in cloud.record:
        who = call.principal.role or "you (up, workflow.start, down; the rehearsal's own looks are among them)"
        if call.via:
            who += f", through {call.via}"
        calls.setdefault(who, Counter())[call.name] += 1
    return Report(
        factor=config.REHEARSAL_FACTOR,
        took=took,
        shown=tuple(shown),
        machines=tuple(machines),
        calls={who: dict(counted) for who, counted in calls.items()},
        excess=tuple((e.role, e.action, e.resource, e.times) for e in cloud.excess()),
        left=tuple(left),
    )


def _cost(terms: config.Billing, rate: int, seconds: float) -> float:
    return billing.cost(terms, rate, seconds) / billing.MICRO
