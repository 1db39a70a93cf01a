"""Domains and types are registered when first needed; registering twice is not an error."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from simpleflow.core import retries, types
from simpleflow.swf import errors, repeating
from simpleflow.swf.transport import base


class Registrar:
    """Register what one domain lacks and remember it for the life of this object. Thread safe.

    Another process may register the same thing at the same moment: what exists already counts as registered.
    """

    def __init__(
        self,
        transport: base.Transport,
        domain: str,
        *,
        patience: retries.Patience = repeating.COMMAND,
        wait: Callable[[float], bool] | None = None,
    ) -> None:
        """``patience``: how long a registration is repeated that the service neither made nor refused; ``wait`` sleeps,
        and returns True to give it up."""
        self._wait = wait
        self._transport = transport
        self._patience = patience
        self._domain = domain
        self._known: set[tuple[str, str, str]] = set()

    def ensure_domain(self, retention_days: int) -> None:
        """Register the domain, whose closed executions are kept for ``retention_days`` if it is new."""
        request = {"name": self._domain, "workflowExecutionRetentionPeriodInDays": str(retention_days)}
        self._ensure("RegisterDomain", self._domain, "", request)

    def ensure_workflow(self, name: str, version: str) -> None:
        """Register one workflow type without defaults."""
        request = {"domain": self._domain, "name": name, "version": version}
        self._ensure("RegisterWorkflowType", name, version, request)

    def ensure_activity(self, name: str, version: str) -> None:
        """Register one activity type without defaults."""
        request = {"domain": self._domain, "name": name, "version": version}
        self._ensure("RegisterActivityType", name, version, request)

    def forget(self) -> None:
        """Register each type anew when it is needed next: somebody deleted one."""
        self._known.clear()

    def ensure(self, needed: Iterable[types.RegisteredType]) -> None:
        """Register activity types and workflow types; stops at the first that the service refuses."""
        for each in needed:
            if each.kind == "activity":
                self.ensure_activity(each.name, each.version)
            else:
                self.ensure_workflow(each.name, each.version)

    def _ensure(self, action: str, name: str, version: str, request: Mapping[str, Any]) -> None:
        key = (action, name, version)
        if key in self._known:
            return
        with contextlib.suppress(errors.TypeAlreadyExistsFault, errors.DomainAlreadyExistsFault):
            repeating.call(self._transport, action, request, patience=self._patience, wait=self._wait)
        self._known.add(key)
