"""Closed executions are forgotten when their domain's retention period is over."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from . import ledger as ledgers

#: executions, and events of one of them, that one step forgets
_EXECUTIONS = 50
_EVENTS = 2_000


def clean(ledger: ledgers.Ledger) -> bool:
    """Forget some; return whether there may be more. Steps are small because every call waits meanwhile."""
    left, more = _EXECUTIONS, False
    for domain in ledger.domains.values():
        keys = ledger.store.expired(domain.name, ledger.kept_since(domain.name), left + 1)
        more = more or len(keys) > left
        for key in keys[:left]:
            left -= 1
            more = not ledger.store.forget(key, _EVENTS) or more
        if not left:
            break
    return more
