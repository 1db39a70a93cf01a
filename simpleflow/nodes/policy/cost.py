"""What the machines cost, each under its billing terms: ended ones from the ledger, living ones up to now."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from simpleflow.core import documents
from simpleflow.nodes import billing, config

from . import guards


class NodeCost(msgspec.Struct, frozen=True, kw_only=True):
    """One machine's bill."""

    node: str
    profile: str
    since: float
    #: epoch seconds; None while it runs
    ended: float | None
    #: seconds that are billed
    billed: float
    #: millionths of the currency
    cost: int
    #: 'per 20 s, at least 20 s, 0.05 USD/h'
    terms: str


def describe(cluster: config.ClusterConfig, profile: str) -> str:
    """Return a profile's billing terms in words."""
    terms = guards.terms_of(cluster, profile)
    known = terms.price if profile not in cluster.profiles else cluster.price_of(cluster.profiles[profile])
    return words(terms, known, cluster.currency)


def words(terms: config.Billing, price: float | None, currency: str) -> str:
    """Return billing terms in words; ``price``: per hour, None if it is unknown."""
    shown = "no price" if price is None else f"{price:g} {currency}/h"
    return f"per {terms.period} s, at least {terms.minimum} s, {shown}"


def of_cluster(
    cluster: config.ClusterConfig,
    control: documents.Control,
    ledger: Iterable[documents.LedgerEntry],
    now: float,
) -> tuple[NodeCost, ...]:
    """Return every machine's bill, oldest first."""
    found = {row.instance: _cost(cluster, row, None, now) for row in control.rows}
    for entry in ledger:
        found[entry.instance] = _cost(cluster, entry, entry.ended, now)
    return tuple(sorted(found.values(), key=lambda each: (each.since, each.node)))


def _cost(
    cluster: config.ClusterConfig, of: documents.Row | documents.LedgerEntry, ended: float | None, now: float
) -> NodeCost:
    terms = guards.terms_of(cluster, of.profile)
    seconds = (now if ended is None else ended) - of.since
    return NodeCost(
        node=of.instance,
        profile=of.profile,
        since=of.since,
        ended=ended,
        billed=0.0 if of.never_ran else billing.billed(terms, seconds),
        cost=0 if of.never_ran else billing.cost(terms, of.price, seconds),
        terms="ended before it ran: not billed" if of.never_ran else describe(cluster, of.profile),
    )
