"""``--metrics [HOST:]PORT`` of deciders, workers and ``standalone``."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import Any

import click

from simpleflow import settings
from simpleflow.core import errors, interceptors
from simpleflow.process import scratch
from simpleflow.utils import mounting

from . import context


def option(function: context.F) -> context.F:
    """Add ``--metrics``."""
    return click.option(
        "--metrics",
        metavar="[HOST:]PORT",
        help="Serve Prometheus metrics at http://HOST:PORT/metrics (default host: 127.0.0.1).",
    )(function)


@contextlib.contextmanager
def of_worker(asked: str | None) -> Iterator[tuple[interceptors.Interceptor, ...]]:
    """Serve the metrics of this process inside the block; give the interceptors to mount for them."""
    if asked is None:
        yield ()
        return
    host, port = _place(asked)
    prometheus = _prometheus()
    page = prometheus.Page(host, port)
    try:
        click.echo(f"Metrics: {page.url}", err=True)
        known = any(isinstance(each, prometheus.Metrics) for each in mounting.mounted())
        yield () if known else (prometheus.Metrics(),)
    finally:
        page.close()


@contextlib.contextmanager
def of_children(asked: str | None) -> Iterator[dict[str, str] | None]:
    """Serve the metrics of child processes inside the block; give their environment (None: the same as this one's)."""
    if asked is None:
        yield None
        return
    host, port = _place(asked)
    named = context.listed(settings.SIMPLEFLOW_INTERCEPTORS or "")
    with contextlib.closing(scratch.Scratch()) as folder:
        # prometheus_client reads the variable when it is imported.
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(folder.path)
        try:
            prometheus = _prometheus()
            page = prometheus.Page(host, port)
            try:
                click.echo(f"Metrics: {page.url}", err=True)
                mounted = dict.fromkeys([*named, "simpleflow.observe.prometheus.Metrics"])
                yield {**os.environ, "SIMPLEFLOW_INTERCEPTORS": ",".join(mounted)}
            finally:
                page.close()
        finally:
            del os.environ["PROMETHEUS_MULTIPROC_DIR"]


def _place(asked: str) -> tuple[str, int]:
    host, colon, port = asked.rpartition(":")
    if not port.isdigit() or int(port) > 65535 or (colon and not host):
        raise errors.UsageError(f"--metrics {asked!r} is not [HOST:]PORT: write for example 9464 or 0.0.0.0:9464")
    return host or "127.0.0.1", int(port)


def _prometheus() -> Any:
    try:
        from simpleflow.observe import prometheus
    except ImportError as error:
        raise errors.UsageError(
            f"--metrics needs the package prometheus-client ({error}): pip install 'simpleflow[prometheus]'"
        ) from error
    return prometheus
