"""Guards before each launch: a cap in money, and a breaker for machines that boot but never work."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from simpleflow.core import documents, text
from simpleflow.nodes import billing, config


class Purse(msgspec.Struct, frozen=True, kw_only=True):
    """The rest of one cap."""

    window: billing.Window
    #: millionths
    cap: int
    #: spent by closed rows and committed by open rows and intents, worst case, inside the window
    committed: int

    @property
    def left(self) -> int:
        return self.cap - self.committed

    def describe(self, currency: str) -> str:
        """'budget per hour: 0.42 of 0.50 USD committed'."""
        return (
            f"budget per {self.window}: {self.committed / billing.MICRO:g} of {self.cap / billing.MICRO:g} {currency} "
            "committed"
        )


def caps(budget: config.Budget) -> dict[billing.Window, int]:
    """The caps that are set, in millionths."""
    given: dict[billing.Window, float | None] = {
        "hour": budget.per_hour,
        "day": budget.per_day,
        "month": budget.per_month,
    }
    return {window: billing.micros(value) for window, value in given.items() if value is not None}


def terms_of(cluster: config.ClusterConfig, profile: str) -> config.Billing:
    """Billing terms of a profile; of one that the file does not name any more, the defaults."""
    known = cluster.profiles.get(profile)
    return config.Billing() if known is None else known.billing


def committed(cluster: config.ClusterConfig, control: documents.Control, window: billing.Window, now: float) -> int:
    """Worst case, in millionths, of one window: closed rows, open rows to their ``until``, open intents."""
    period = billing.period_key(window, now)
    total = sum(each.amount for each in control.spent if each.window == window and each.period == period)
    for row in control.rows:
        if row.never_ran:
            continue
        total += billing.cost_in_window(
            terms_of(cluster, row.profile), row.price, row.since, max(row.until, now), window, now
        )
    return total + sum(each.worst for each in control.intents if each.kind == "launch")


def purses(cluster: config.ClusterConfig, control: documents.Control, now: float) -> tuple[Purse, ...]:
    """One purse per cap of the cluster file."""
    return tuple(
        Purse(window=window, cap=cap, committed=committed(cluster, control, window, now))
        for window, cap in caps(cluster.budget).items()
    )


def affordable(available: Iterable[Purse], worst: int, wanted: int) -> int:
    """How many of ``wanted`` machines, each costing ``worst`` millionths, every purse allows."""
    for purse in available:
        if worst > 0:
            wanted = min(wanted, max(purse.left, 0) // worst)
    return wanted


def spend(available: Iterable[Purse], amount: int) -> tuple[Purse, ...]:
    """The purses after so many millionths were committed."""
    return tuple(msgspec.structs.replace(purse, committed=purse.committed + amount) for purse in available)


def paused(cluster: config.ClusterConfig, control: documents.Control, profile: str) -> str:
    """Why launches of a profile are paused; '' when they are not."""
    total = sum(each.count for each in control.failures)
    if total >= cluster.breaker.stop:
        return (
            f"{text.count(total, 'machine')} booted and never worked, or stopped working: every launch is stopped; "
            "see `sfnodes status`, mend the image or code, then `sfnodes up` resumes"
        )
    image = image_of(cluster, profile)
    for each in control.failures:
        if each.profile == profile and each.image == image and each.count >= cluster.breaker.pause:
            return (
                f"{text.count(each.count, 'machine')} of profile '{profile}' in a row {_how(each)}; "
                "see `sfnodes status`, mend the image or code, then `sfnodes up` resumes"
            )
    return ""


def image_of(cluster: config.ClusterConfig, profile: str) -> str:
    """The image of a profile's machines; '' of one that the file does not name any more."""
    known = cluster.profiles.get(profile)
    return "" if known is None else cluster.image_of(known)


def describe(failure: documents.Failures) -> str:
    """'3 machines booted and never worked'."""
    return f"{text.count(failure.count, 'machine')} {_how(failure)}"


def _how(failure: documents.Failures) -> str:
    return "stopped working, or never did" if failure.stopped else "booted and never worked"


def failed(
    control: documents.Control, profile: str, image: str, log: str, *, order: int | None = None, stopped: bool = False
) -> documents.Control:
    """Count a machine that did not work, or has ``stopped``, by the order of its launch (default: the newest).

    A launch that is older than one proved sound, or than the last `up`, says nothing any more.
    """
    order = control.launched if order is None else order
    if order < dict(control.sound).get(profile, 0) or order < control.mended:
        return control
    before = [each for each in control.failures if (each.profile, each.image) == (profile, image)]
    others = [each for each in control.failures if (each.profile, each.image) != (profile, image)]
    orders = tuple(sorted([*(number for each in before for number in each.orders), order]))
    entry = documents.Failures(
        profile=profile,
        image=image,
        count=len(orders),
        last_log=log,
        orders=orders,
        stopped=stopped or any(each.stopped for each in before),
    )
    return msgspec.structs.replace(
        control, failures=tuple(sorted([*others, entry], key=lambda f: (f.profile, f.image)))
    )


def worked(control: documents.Control, profile: str, image: str, *, order: int) -> documents.Control:
    """Forget the failures of launches before this one of the same profile and image: this one is proved sound."""
    if order <= dict(control.sound).get(profile, 0) or order < control.mended:
        return control
    failures = []
    for each in control.failures:
        if (each.profile, each.image) == (profile, image):
            orders = tuple(number for number in each.orders if number >= order)
            each = msgspec.structs.replace(each, orders=orders, count=len(orders))
        if each.count:
            failures.append(each)
    sound = tuple(sorted({**dict(control.sound), profile: order}.items()))
    return msgspec.structs.replace(control, failures=tuple(failures), sound=sound)


def mended(control: documents.Control) -> documents.Control:
    """Forget every failure, and those still to come of launches that are begun already: a person ran `up`."""
    return msgspec.structs.replace(control, failures=(), mended=control.launched + 1)
