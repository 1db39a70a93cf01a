"""Settings: ``from simpleflow import settings; settings.ACTIVITY_DEFAULT_TASK_LIST``.

base.py     precedence: configure() and put_setting(), environment, SIMPLEFLOW_SETTINGS_MODULE, default.py
default.py  names, types and defaults

Nothing is read before the first setting is asked for, so that importing has no side effects.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

from . import base
from .default import *  # noqa: F403 - names and types for type checkers; removed below at run time

_values: dict[str, Any] = {}
_loaded = False


def _load() -> dict[str, Any]:
    global _loaded
    if not _loaded:
        values = base.load()
        values.update(_values)
        _values.update(values)
        _loaded = True
    return _values


def __getattr__(name: str) -> Any:
    if name.isupper():
        values = _load()
        found = name if name in values else base.FOLLOWS.get(name)
        if found in values:
            return values[found]
    raise AttributeError(f"no setting {name}: simpleflow/settings/default.py lists them all")


def configure(dct: Mapping[str, Any]) -> None:
    """Replace settings by those of a mapping; other names stay as they are."""
    for name, value in dct.items():
        put_setting(name, value)


def put_setting(key: str, value: Any) -> None:
    """Replace one setting for this process; it wins over the environment."""
    _values[key] = value


def items() -> dict[str, Any]:
    """Return every setting by name, in alphabetical order."""
    values = _load()
    following = {name: values[leader] for name, leader in base.FOLLOWS.items()}
    return dict(sorted({**following, **values}.items()))


def reload() -> None:
    """Forget everything that was read or put; the next access reads the environment again."""
    global _loaded
    _values.clear()
    _loaded = False


def print_settings() -> None:
    """Print every setting, one a line; what looks like a secret is masked."""
    for name, value in items().items():
        secret = any(part in name for part in ("SECRET", "TOKEN", "PASSWORD", "KEY"))
        sys.stdout.write(f"{name}={'***' if secret and value else value!r}\n")


# The star import served type checkers only: real attributes would hide __getattr__.
for _name in base.NAMES:
    globals().pop(_name, None)
del _name
