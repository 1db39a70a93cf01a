"""How a setting finds its value: what ``configure`` put, the environment, the user's module, the default."""

from __future__ import annotations

import importlib
import os
from collections.abc import Mapping
from typing import Any

import msgspec

from simpleflow.core import errors

from . import default

MODULE_VARIABLE = "SIMPLEFLOW_SETTINGS_MODULE"
TRUE = frozenset({"1", "true", "yes", "on"})
FALSE = frozenset({"0", "false", "no", "off"})
#: setting -> the one whose value it has where nobody sets it
FOLLOWS = {
    "ACTIVITY_START_TO_CLOSE_TIMEOUT": "ACTIVITY_DEFAULT_TIMEOUT",
    "ACTIVITY_HEARTBEAT_TIMEOUT": "ACTIVITY_DEFAULT_TIMEOUT",
}
#: timeouts that may be switched off
OPTIONAL = frozenset({*FOLLOWS, "ACTIVITY_SCHEDULE_TO_CLOSE_TIMEOUT", "ACTIVITY_SCHEDULE_TO_START_TIMEOUT"})
NAMES = frozenset(name for name in vars(default) if name.isupper())


def parse_bool(name: str, text: str) -> bool:
    """Read 1/0, true/false, yes/no or on/off in any case; raises UsageError that names the variable."""
    value = text.strip().lower()
    if value in TRUE:
        return True
    if value in FALSE:
        return False
    raise errors.UsageError(f"{name}={text!r} is not a boolean: write 1, true, yes or on, or 0, false, no or off")


def parse(name: str, text: str, example: Any) -> Any:
    """Turn the text of an environment variable into the type that its default has."""
    if isinstance(example, bool):
        return parse_bool(name, text)
    if name in OPTIONAL and text == "NONE":
        return text
    if isinstance(example, int) or name in OPTIONAL:
        try:
            return int(text)
        except ValueError:
            raise errors.UsageError(f"{name}={text!r} is not a whole number: {_example(name, example)}") from None
    if name == "LOGGING":
        try:
            return msgspec.json.decode(text, type=dict[str, Any])
        except msgspec.DecodeError as error:
            raise errors.UsageError(f"{name} is not a JSON object for logging.config.dictConfig: {error}") from None
    return text


def _example(name: str, example: Any) -> str:
    return "write seconds, or NONE for no limit" if name in OPTIONAL else f"write one, such as {example}"


def load(environ: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Read every setting once, but those that follow another one and that nobody sets.

    Names of the user's module that no default has are kept as they are.

    Raises UsageError when the module cannot be imported or a variable has the wrong type.
    """
    environ = os.environ if environ is None else environ
    values = {name: getattr(default, name) for name in NAMES if name not in FOLLOWS}
    module_name = environ.get(MODULE_VARIABLE)
    if module_name:
        try:
            module = importlib.import_module(module_name)
        except ImportError as error:
            raise errors.UsageError(
                f"{MODULE_VARIABLE}={module_name!r} cannot be imported ({error}): name a module on PYTHONPATH, "
                "or unset the variable"
            ) from error
        values.update({name: value for name, value in vars(module).items() if name.isupper()})
    for name in NAMES:
        text = environ.get(name)
        if text is not None and text != "":
            values[name] = parse(name, text, getattr(default, name))
    return values
