"""The scenarios to compare: the cluster file as it is, and the file with the user's changes under each policy."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence

import msgspec

from simpleflow.core import errors
from simpleflow.nodes import billing, config

from . import machines, work, world

#: our policy at its named speeds, and the rules of other tools
POLICIES: dict[str, dict[str, str]] = {
    "economy": {"policy": "look-ahead", "speed": "economy"},
    "balanced": {"policy": "look-ahead", "speed": "balanced"},
    "fast": {"policy": "look-ahead", "speed": "fast"},
    "boundary": {"policy": "boundary"},
    "idle": {"policy": "idle"},
    "end-of-run": {"policy": "end-of-run"},
}
#: seconds of a billing period with --hourly
HOURLY = 3600


class WhatIf(msgspec.Struct, frozen=True, kw_only=True):
    """Changes to every profile and task list of a cluster file. None: no change."""

    max: int | None = None
    min: int | None = None
    slots: int | None = None
    hourly: bool = False
    #: machines of the spot market at this part of their price
    spot: float | None = None
    price: float | None = None
    boot: float | None = None

    @property
    def words(self) -> str:
        """The changes in words, such as 'max 50, hourly, spot at 35% of the price'; '' for none."""
        said = [f"{name} {value:g}" for name in ("max", "min", "slots", "price", "boot")
                if (value := getattr(self, name)) is not None]  # fmt: skip
        said += ["hourly"] if self.hourly else []
        said += [f"spot at {self.spot:.0%} of the price"] if self.spot is not None else []
        return ", ".join(said)


class Scenario(msgspec.Struct, frozen=True, kw_only=True):
    """One cluster to play."""

    name: str
    cluster: config.ClusterConfig


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """One row of the comparison."""

    name: str
    outcome: world.Outcome
    #: geometric mean, over the runs, of the time from begin to end over (critical path + boot)
    slowdown: float
    #: mean seconds from a run's begin to its end
    mean_flow: float


def scenarios(cluster: config.ClusterConfig, what_if: WhatIf, policies: Iterable[str]) -> tuple[Scenario, ...]:
    """Return the file as it is, then the changed file under each policy. Raises UsageError for an unknown policy."""
    base = [Scenario(name="as it is", cluster=_playable(cluster))]
    changed = _changed(_playable(cluster), what_if)
    for name in policies:
        if name not in POLICIES:
            raise errors.UsageError(f"policy '{name}' is unknown; known: {', '.join(POLICIES)}")
        made = msgspec.structs.replace(changed, **POLICIES[name])
        base.append(Scenario(name=name, cluster=made))
    return tuple(base)


def _playable(cluster: config.ClusterConfig) -> config.ClusterConfig:
    """Return the cluster with at least one decider machine: a simulation has no client that wakes a manager."""
    deciders = cluster.deciders
    return msgspec.structs.replace(cluster, deciders=msgspec.structs.replace(deciders, min=max(deciders.min, 1)))


def _changed(cluster: config.ClusterConfig, what_if: WhatIf) -> config.ClusterConfig:
    def profile(each: config.Profile) -> config.Profile:
        terms = each.billing
        price = cluster.price_of(each) if what_if.price is None else what_if.price
        if what_if.spot is not None and price is not None:
            price = price * what_if.spot
        if what_if.hourly:
            terms = msgspec.structs.replace(terms, period=HOURLY, minimum=HOURLY)
        return msgspec.structs.replace(
            each,
            billing=msgspec.structs.replace(terms, price=price),
            max=each.max if what_if.max is None else what_if.max,
            min=each.min if what_if.min is None else what_if.min,
            boot=each.boot if what_if.boot is None else what_if.boot,
            market="spot" if what_if.spot is not None else each.market,
        )

    def task_list(each: config.TaskList) -> config.TaskList:
        return msgspec.structs.replace(
            each,
            max=each.max if what_if.max is None else what_if.max,
            slots=each.slots if what_if.slots is None else what_if.slots,
        )

    changed = msgspec.structs.replace(
        cluster,
        profiles={name: profile(each) for name, each in cluster.profiles.items()},
        task_lists={name: task_list(each) for name, each in cluster.task_lists.items()},
    )
    # The changed file must pass the same checks as a written one.
    return config.loads(msgspec.json.encode(changed).decode(), "the changed file")


def play(
    found: Sequence[Scenario],
    runs: Sequence[work.Run],
    options: world.Options,
    say: Callable[[str], None] = lambda line: None,
) -> tuple[Result, ...]:
    """Play each scenario with the same runs; ``say`` gets the name of each before it begins."""
    results = []
    for each in found:
        say(each.name)
        outcome = world.World(each.cluster, runs, options).run()
        results.append(
            Result(
                name=each.name,
                outcome=outcome,
                slowdown=_slowdown(each.cluster, runs, outcome),
                mean_flow=sum(outcome.flows.values()) / max(len(outcome.flows), 1),
            )
        )
    return tuple(results)


def _slowdown(cluster: config.ClusterConfig, runs: Sequence[work.Run], outcome: world.Outcome) -> float:
    boot = min(cluster.boot_of(name) for name in cluster.profiles) * machines.BOOT[0]
    logs = [
        math.log(max(outcome.flows[run.run_id], 1e-3) / (run.critical_path() + boot))
        for run in runs
        if run.run_id in outcome.flows
    ]
    return math.exp(sum(logs) / len(logs)) if logs else math.inf


def money(amount: int, cluster: config.ClusterConfig) -> str:
    """Return an amount in millionths as text: '12.34 USD', with four decimals below 1."""
    value = amount / billing.MICRO
    return f"{value:.2f} {cluster.currency}" if value >= 1 else f"{value:.4f} {cluster.currency}"
