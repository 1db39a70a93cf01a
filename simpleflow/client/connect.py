"""Which backend a client, a decider or a worker talks to: the one place that decides it."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from types import TracebackType
from typing import Self

from simpleflow import settings
from simpleflow.core import errors, numbers, retries
from simpleflow.swf import registration, repeating
from simpleflow.swf.transport import base, http

#: the domain of the embedded service when nobody names one
DEFAULT_DOMAIN = "default"
#: days that closed executions of a domain which is registered here are kept
RETENTION_DAYS = 30
BACKENDS = ("embedded", "swf")
#: of processes that serve a service: one that does not answer at their start is waited for, as it is later on
SERVING = retries.Patience(unclear=math.inf, unreached=math.inf, refused=repeating.COMMAND.refused)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Connection:
    """An open way to one domain of one service. A context manager."""

    transport: base.Transport
    domain: str
    #: where another process finds the same service: ``unix:///…``, ``http://…``, ``https://…``; None: Amazon SWF by
    #: AWS's own configuration, or a service inside this process
    endpoint_url: str | None

    def close(self) -> None:
        """Drop its connections; the service is left as it is."""
        self.transport.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


def connect(
    domain: str | None = None,
    backend: str | None = None,
    endpoint_url: str | None = None,
    *,
    patience: retries.Patience = repeating.COMMAND,
    wait: Callable[[float], bool] | None = None,
) -> Connection:
    """Reach a service.

    - ``endpoint_url``: that service, whatever it is;
    - ``backend="embedded"``, or neither a domain nor an endpoint: this user's embedded service, which is started when
      it does not run;
    - ``backend="swf"``, or a domain alone: Amazon SWF, with credentials, region and endpoint of AWS's configuration.

    Without a domain it is ``default``; it is registered where that costs nothing: on the embedded service, which is
    waited for as ``patience`` says (``SERVING``: without end); ``wait`` sleeps meanwhile, and returns True to give up.
    Raises UsageError for what excludes each other, and SwfError with what to do when the service cannot be reached.
    """
    repeating.repeat_connections(
        numbers.count("SWF_CONNECTION_RETRIES", settings.SWF_CONNECTION_RETRIES, least=0, instead="write 0 or more")
    )
    if backend is not None and backend not in BACKENDS:
        raise errors.UsageError(
            f"backend {backend!r} has no service to connect to: write embedded or swf, or run the workflow with "
            "workflow.start --local"
        )
    if endpoint_url:
        if backend == "swf" and endpoint_url.startswith("unix:"):
            raise errors.UsageError(f"--backend swf and the socket {endpoint_url} exclude each other: give one")
        return _open(endpoint_url, domain, patience, wait)
    if backend == "embedded" or (backend is None and not domain):
        from simpleflow.server.process import commands  # psutil, and the way to start a server

        return _open(commands.ensure(), domain, patience, wait)
    if not domain:
        raise errors.UsageError("Amazon SWF needs a domain: give -d/--domain or set SWF_DOMAIN")
    return Connection(transport=http.open_amazon(), domain=domain, endpoint_url=None)


def _open(
    endpoint_url: str, domain: str | None, patience: retries.Patience, wait: Callable[[float], bool] | None
) -> Connection:
    transport = http.open_endpoint(endpoint_url)
    try:
        if endpoint_url.startswith("unix:") or not domain:
            registrar = registration.Registrar(transport, domain or DEFAULT_DOMAIN, patience=patience, wait=wait)
            registrar.ensure_domain(RETENTION_DAYS)
    except BaseException:
        transport.close()
        raise
    return Connection(transport=transport, domain=domain or DEFAULT_DOMAIN, endpoint_url=endpoint_url)
