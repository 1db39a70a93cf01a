"""How deciders and workers turn objects into text, and where values over SWF's limits go, by the settings."""

from __future__ import annotations

from simpleflow import settings
from simpleflow.core import payloads as core_payloads
from simpleflow.data import converter, jumbo

Store = jumbo.Store


def payloads() -> core_payloads.Payloads:
    """Return how objects become text."""
    return converter.Converter()


def open_store(location: str | None) -> jumbo.Store:
    """Return the store of a location; nothing is opened before the first value needs it."""
    return jumbo.Store(location)


def location(endpoint_url: str | None) -> str | None:
    """Return where large values go for the service at this endpoint."""
    return jumbo.location(settings.SIMPLEFLOW_JUMBO_FIELDS_BUCKET, settings.SIMPLEFLOW_DATA_DIR, endpoint_url)
