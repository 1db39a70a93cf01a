"""Deletion of closed executions after the retention period of their domain."""

from __future__ import annotations

from simpleflow.server.state import session as sessions

#: executions, and events of all of them, that one step deletes
_EXECUTIONS = 50
_EVENTS = 2_000


def clean(session: sessions.Session) -> bool:
    """Delete some closed executions; return whether there may be more. Steps are small: calls wait meanwhile."""
    left, events = _EXECUTIONS, _EVENTS
    for domain in session.domains.values():
        for key in session.store.expired(domain.name, session.kept_since(domain.name), left + 1):
            if not left:
                return True
            deleted = session.store.forget(key, events, session.now)
            if deleted == events:
                return True
            left, events = left - 1, events - deleted
    return False
