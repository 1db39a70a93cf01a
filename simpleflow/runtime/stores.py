"""How deciders and workers turn objects into text, and where values over SWF's limits go, by the settings."""

from __future__ import annotations

import functools

from simpleflow import settings
from simpleflow.core import payloads as core_payloads
from simpleflow.core import retries
from simpleflow.data import blobs, codec, converter, jumbo

Store = jumbo.Store
#: seconds that a bucket may refuse keys and rights: a right that nobody gave is told, a key that is late is waited for
REFUSED = 60.0


def payloads() -> core_payloads.Payloads:
    """Return how objects become text."""
    return converter.Converter()


def open_store(location: str | None, *, patience: float | None = None) -> jumbo.Store:
    """Return the store of a location; nothing is opened before the first value needs it.

    ``patience``: seconds that an operation is repeated whose failure would cost finished work.
    """
    if patience is None:
        return jumbo.Store(location, codec=codecs())
    lasting = retries.Patience(unclear=patience, unreached=patience, refused=min(patience, REFUSED))
    return jumbo.Store(location, opener=functools.partial(blobs.open_store, patience=lasting), codec=codecs())


def codecs() -> codec.Chain:
    """Return what values pass on their way, by the settings. Raises UsageError for settings that are wrong."""
    return codec.of_settings(
        settings.SIMPLEFLOW_ENCRYPTION_KEYS, settings.SIMPLEFLOW_COMPRESSION, settings.SIMPLEFLOW_CODECS
    )


def location(endpoint_url: str | None) -> str | None:
    """Return where large values go for the service at this endpoint."""
    return jumbo.location(settings.SIMPLEFLOW_JUMBO_FIELDS_BUCKET, settings.SIMPLEFLOW_DATA_DIR, endpoint_url)
