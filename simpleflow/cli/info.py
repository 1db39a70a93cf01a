"""``info``: versions and settings for a bug report."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re
from collections.abc import Callable
from typing import Any

import click

from simpleflow import _version, settings

from . import context, output

SECTIONS = ("versions", "settings", "environment")
#: packages whose versions matter in a report
PACKAGES = ("boto3", "botocore", "click", "greenlet", "httptools", "msgspec", "psutil", "urllib3", "uvloop")
#: prefixes of environment variables that this package reads
PREFIXES = ("SIMPLEFLOW_", "SWF_", "AWS_", "ACTIVITY_", "WORKFLOW_", "_SWF_CONTEXT_")
_SECRET = re.compile(r"SECRET|TOKEN|PASSWORD|PASSWD|KEY|CREDENTIAL", re.IGNORECASE)
#: user and password of a URL
_USERINFO = re.compile(r"(?<=//)[^/@\s]+(?=@)")


def redact(name: str, value: Any) -> Any:
    """Return a value with secrets, tokens, keys and passwords masked."""
    if _SECRET.search(name) and value not in (None, "", False):
        return "***"
    return _USERINFO.sub("***", value) if isinstance(value, str) else value


def _versions() -> dict[str, Any]:
    found: dict[str, Any] = {"simpleflow": _version.__version__, "python": platform.python_version()}
    found["platform"] = platform.platform()
    for name in PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = "not installed"
    return found


@click.command("info")
@click.argument("sections", nargs=-1, type=click.Choice(SECTIONS))
@context.command_options
@click.pass_obj
def info(state: context.State, sections: tuple[str, ...]) -> None:
    """Show versions, settings and environment; secrets are masked."""
    gathered: dict[str, Callable[[], dict[str, Any]]] = {
        "versions": _versions,
        "settings": settings.items,
        "environment": lambda: {k: v for k, v in sorted(os.environ.items()) if k.startswith(PREFIXES)},
    }
    rows = [
        (section, name, redact(name, value))
        for section in (sections or SECTIONS)
        for name, value in gathered[section]().items()
    ]
    output.table(state, ("section", "name", "value"), rows)
