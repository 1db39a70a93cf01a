"""The JSON Schema of cluster files, for editors."""

from __future__ import annotations

from typing import Any

import msgspec

from . import shapes


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema (2020-12) of a cluster file."""
    schema = msgspec.json.schema(shapes.ClusterConfig)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "simpleflow cluster file", **schema}
