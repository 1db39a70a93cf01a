"""Interceptors that the setting SIMPLEFLOW_INTERCEPTORS names."""

from __future__ import annotations

import functools

from simpleflow import settings
from simpleflow.core import errors, interceptors

from . import import_from_module

_ADVICE = "write package.module.NAME, of a class or an object of simpleflow.core.interceptors.Interceptor"


def mounted() -> tuple[interceptors.Interceptor, ...]:
    """Return the interceptors of this process, the outermost first.

    The setting is ``package.module.NAME,...``. Each name is of an object, or of a class that is called without
    arguments, once in a process.

    Raises UsageError, which names the entry that cannot be imported, made or used.
    """
    named = settings.SIMPLEFLOW_INTERCEPTORS or ""
    return tuple(_made(path.strip()) for path in named.split(",") if path.strip())


@functools.cache
def _made(path: str) -> interceptors.Interceptor:
    try:
        found = import_from_module(path)
        made = found() if isinstance(found, type) else found
    except Exception as error:
        raise errors.UsageError(
            f"SIMPLEFLOW_INTERCEPTORS: {path!r} cannot be made ({type(error).__name__}: {error}): {_ADVICE}"
        ) from error
    if not isinstance(made, interceptors.Interceptor):
        raise errors.UsageError(f"SIMPLEFLOW_INTERCEPTORS: {path!r} is of type {type(made).__name__}: {_ADVICE}")
    return made
