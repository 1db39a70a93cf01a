"""What a blob store raises."""

from __future__ import annotations

from simpleflow.core import errors


class BlobStoreError(errors.SimpleflowError):
    """The store failed; a write may or may not have happened."""


class PreconditionFailed(BlobStoreError):
    """``if_match`` or ``if_absent`` did not hold: someone else wrote first, and nothing was stored."""
