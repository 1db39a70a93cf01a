from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import boto3
import moto
import pytest

from simpleflow import format, settings, storage


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A bucket named ``kept``, in an S3 of this process."""
    monkeypatch.setattr(storage, "BUCKET_LOCATIONS_CACHE", {})
    monkeypatch.setattr(format, "JUMBO_FIELDS_MEMORY_CACHE", {})
    with moto.mock_aws():
        made = boto3.resource("s3", region_name="us-east-1").Bucket("kept")
        made.create()
        yield made
    settings.reload()
