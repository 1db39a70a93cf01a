"""``deciders.json``: what machines of deciders cost whose group is gone. Written by ``down``."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from simpleflow.core import documents
from simpleflow.core import errors as core_errors
from simpleflow.data.blobs import base as blobs
from simpleflow.nodes import billing, config, setups
from simpleflow.nodes.providers import ec2


def keep(store: blobs.BlobStore, cluster: config.ClusterConfig, lives: Iterable[ec2.Life], now: float) -> int:
    """Add these machines to the document; return how many were new. Raises BlobStoreError."""
    known = {each.instance: each for each in read(store)}
    before = len(known)
    price = billing.micros(cluster.price_of(cluster.deciders) or 0.0)
    for each in lives:
        ended = now if each.ended is None else each.ended
        known.setdefault(
            each.instance,
            documents.LedgerEntry(
                instance=each.instance,
                profile=setups.DECIDERS,
                attempt="",
                price=price,
                since=each.began,
                ended=ended,
                cost=billing.cost(cluster.deciders.billing, price, max(ended - each.began, 0.0)),
            ),
        )
    if len(known) > before:
        store.put(documents.DECIDERS_KEY, msgspec.json.encode(documents.DeciderBills(machines=tuple(known.values()))))
    return len(known) - before


def read(store: blobs.BlobStore) -> tuple[documents.LedgerEntry, ...]:
    """Return the machines that earlier `down`s wrote down. Raises UsageError for a document that is not one."""
    got = store.get(documents.DECIDERS_KEY)
    if got is None:
        return ()
    try:
        return msgspec.json.decode(got[0], type=documents.DeciderBills).machines
    except msgspec.DecodeError as error:
        raise core_errors.UsageError(
            f"{documents.DECIDERS_KEY} of {store.url} cannot be read ({error}): delete it, and the next `sfnodes down` "
            "makes it anew"
        ) from error
