"""Fakes of the outside worlds: a blob store in memory, and a coordinator that a test fills in."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from simpleflow.core import clock as clocks
from simpleflow.core import documents
from simpleflow.core.errors import SimpleflowError
from simpleflow.data.blobs.base import Blob
from simpleflow.nodes import config, control
from simpleflow.nodes.manager import observe


class Precondition(SimpleflowError):
    pass


class MemoryStore:
    """BlobStore with conditional writes, and lost answers on demand."""

    url = "memory://"

    def __init__(self) -> None:
        self.objects: dict[str, tuple[bytes, str]] = {}
        self._count = 0
        self.puts = 0
        #: the next puts are carried out, but their answer is lost
        self.lose = 0

    def get(self, key: str) -> tuple[bytes, str] | None:
        return self.objects.get(key)

    def put(self, key: str, content: bytes, *, if_match: str | None = None, if_absent: bool = False) -> str:
        known = self.objects.get(key)
        if (if_absent and known is not None) or (if_match is not None and (known is None or known[1] != if_match)):
            raise Precondition(key)
        self._count += 1
        self.puts += 1
        self.objects[key] = (content, f"e{self._count}")
        if self.lose:
            self.lose -= 1
            raise SimpleflowError("no answer")
        return f"e{self._count}"

    def delete(self, key: str) -> None:
        self.objects.pop(key, None)

    def list(self, prefix: str = "") -> Iterator[Blob]:
        for key, (content, etag) in sorted(self.objects.items()):
            if key.startswith(prefix):
                yield Blob(key=key, size=len(content), etag=etag, modified=0.0)


class Coordinator:
    """What the manager asks SWF, as a test sets it."""

    def __init__(self) -> None:
        self.runs: dict[str, observe.OpenRun] = {}
        self.histories: dict[str, documents.RunRow] = {}
        self.pending: dict[str, int] = {}
        self.down = False

    def open_runs(self) -> tuple[observe.OpenRun, ...]:
        if self.down:
            raise SimpleflowError("the service does not answer")
        return tuple(self.runs.values())

    def is_closed(self, workflow_id: str, run_id: str) -> bool:
        return run_id not in self.runs

    def scheduled(self, run: observe.OpenRun) -> documents.RunRow:
        return self.histories[run.run_id]

    def pending_activities(self, task_list: str) -> int:
        return self.pending.get(task_list, 0)

    def pending_decisions(self, task_list: str) -> int:
        return 0


def cluster(text: str = "") -> config.ClusterConfig:
    return config.loads(
        text
        or """
cluster: demo
policy: boundary
profiles:
  small: {billing: {period: 1, minimum: 2, price: 0.36}, boot: 2}
task_lists:
  light: {profile: small, slots: 2, max: 3}
times: {metadata: 0.2}
"""
    )


def virtual() -> clocks.VirtualClock:
    return clocks.VirtualClock()


def control_of(*, launched: int) -> documents.Control:
    """The document of a cluster that has begun so many launches."""
    return documents.Control(cluster="demo", launched=launched)


def with_launch(document: documents.Control) -> documents.Control:
    """The same with one more launch begun."""
    intent = documents.Intent(id="next", kind="launch", creator="m", profile="small", not_after=0.0, units=1)
    return control.open_intent(document, intent)


class Skewed:
    """Another machine's clock: it shows another time of day, and counts from another beginning."""

    def __init__(self, base: clocks.Clock, ahead: float) -> None:
        self._base = base
        #: seconds that the wall clock is ahead; a laptop that slept finds it further ahead, its monotonic clock is not
        self.ahead = ahead

    def now(self) -> float:
        return self._base.now() + self.ahead

    def monotonic(self) -> float:
        return self._base.monotonic() - 1e6


def encode(value: object) -> bytes:
    return msgspec.json.encode(value)
