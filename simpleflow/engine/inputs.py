"""The input of an execution: arguments, class, and what a resumed run goes on from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from simpleflow.core import manifests, payloads

from .history import identity
from .program import run


class Input(msgspec.Struct, frozen=True, kw_only=True):
    """What an execution was started with."""

    args: tuple[Any, ...] = ()
    kwargs: dict[str, Any] = {}
    #: ``__extra`` as it came
    extra: dict[str, Any] = {}

    @property
    def seed(self) -> str | None:
        """Run id of the first run of a resumed line: chance goes on as it was."""
        previous = manifests.previous(self.extra)
        return None if previous is None else previous.get("seed")


def of(evaluation: run.Run) -> Input:
    """Return the input of an execution; called where it may wait for a blob."""
    text = evaluation.given.started.input
    if not text:
        return Input()
    if text.startswith(identity.POINTER):
        text = evaluation.load(text)
    return parsed(evaluation.payloads.decode(text))


def parsed(value: Any) -> Input:
    """Read the envelope; without it a list is the positional arguments, an object the keyword arguments."""
    if isinstance(value, Mapping):
        extra = value.get("__extra")
        known = {key: item for key, item in value.items() if key != "__extra"}
        if set(known) <= {"args", "kwargs", "meta"}:
            args, kwargs = known.get("args") or (), known.get("kwargs") or {}
        else:
            args, kwargs = (), known
        return Input(args=tuple(args), kwargs=dict(kwargs), extra=dict(extra) if isinstance(extra, Mapping) else {})
    if isinstance(value, list | tuple):
        return Input(args=tuple(value))
    return Input(args=(value,))


def manifest_of(text: str | None, coder: payloads.Payloads) -> str | None:
    """Return the pointer of the manifest that an input text names; None: the run was not resumed."""
    if not text or f'"{manifests.PREVIOUS}"' not in text:
        return None
    previous = manifests.previous(parsed(coder.decode(text)).extra)
    pointer = None if previous is None else previous.get("manifest")
    return pointer if isinstance(pointer, str) else None


def class_path(text: str | None) -> str | None:
    """Return ``__extra.class`` of an input text, None when it names none."""
    if not text or '"__extra"' not in text:
        return None
    try:
        envelope = _envelope.decode(text)
    except msgspec.DecodeError:
        return None
    return envelope.extra.path


class _Extra(msgspec.Struct):
    path: str | None = msgspec.field(name="class", default=None)


class _Envelope(msgspec.Struct):
    extra: _Extra = msgspec.field(name="__extra", default_factory=_Extra)


_envelope = msgspec.json.Decoder(_Envelope)
