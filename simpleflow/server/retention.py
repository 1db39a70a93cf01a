"""Closed executions are forgotten when their domain's retention period is over."""

from __future__ import annotations

from . import ledger as ledgers

#: executions, and events of all of them, that one step forgets
_EXECUTIONS = 50
_EVENTS = 2_000


def clean(ledger: ledgers.Ledger) -> bool:
    """Forget some; return whether there may be more. Steps are small because every call waits meanwhile."""
    left, events = _EXECUTIONS, _EVENTS
    for domain in ledger.domains.values():
        for key in ledger.store.expired(domain.name, ledger.kept_since(domain.name), left + 1):
            if not left:
                return True
            deleted = ledger.store.forget(key, events, ledger.now)
            if deleted == events:
                return True
            left, events = left - 1, events - deleted
    return False
