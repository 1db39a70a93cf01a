"""Activities that list and set the marks of steps: objects in S3."""

from __future__ import annotations

import json
import posixpath
from collections.abc import Mapping
from typing import Any

from simpleflow import storage

from .constants import UNKNOWN_CONTEXT


class GetStepsDoneTask:
    """The names of the steps that are done: the objects below a path."""

    def __init__(self, bucket: str, path: str) -> None:
        self.bucket = bucket
        self.path = path

    def execute(self) -> list[str]:
        below = self.path if self.path.endswith("/") else f"{self.path}/"
        return [found.key[len(below) :] for found in storage.list_keys(self.bucket, self.path)]


class MarkStepDoneTask:
    """Mark a step as done; the object says by which run."""

    #: set by the worker
    context: Mapping[str, Any]

    def __init__(self, bucket: str, path: str, step_name: str) -> None:
        self.bucket = bucket
        self.path = path
        self.step_name = step_name

    def execute(self) -> None:
        context = getattr(self, "context", None) or UNKNOWN_CONTEXT
        shown = {name: context.get(name, unknown) for name, unknown in UNKNOWN_CONTEXT.items()}
        storage.push_content(self.bucket, posixpath.join(self.path, self.step_name), json.dumps(shown))
