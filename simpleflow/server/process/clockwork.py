"""Work of a service without a call: it fires deadlines, and cleans up after the retention period."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Final

from simpleflow.server import service

from . import blobs

_LOG = logging.getLogger(__name__)
#: seconds between two steps of a clean-up, and between two looks for one
_CLEAN_STEP: Final = 0.05
_CLEAN_EVERY: Final = 60.0
#: seconds until deadlines that could not be stored are tried again
_RETRY: Final = 1.0
#: seconds within which a wall clock that was set is noticed where nobody calls
_LOOK: Final = 60.0


class Clockwork:
    """Timers of one service. ``wrote`` is called when something waits for a commit, ``lost`` when the store failed."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        owned: service.Service,
        *,
        wrote: Callable[[], None],
        lost: Callable[[Exception], object],
        values: blobs.Blobs | None = None,
    ) -> None:
        self._loop = loop
        self._service = owned
        self._wrote = wrote
        self._lost = lost
        self._values = values
        self._alarm: asyncio.TimerHandle | None = None
        #: the deadline that the alarm is for
        self._alarm_at: float | None = None
        #: the alarm is a retry after the store refused a write
        self._again = False
        self._cleaner = loop.call_later(_CLEAN_STEP, self._clean)
        self.arm()

    def stop(self) -> None:
        """Stop firing deadlines and cleaning up."""
        self._cleaner.cancel()
        if self._alarm is not None:
            self._alarm.cancel()

    def arm(self) -> None:
        """Set the alarm to the next deadline."""
        due = self._service.soonest
        if self._again:
            return
        if due == self._alarm_at and (self._alarm is None) == (due is None) and not self._set_forward():
            return
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        self._alarm_at = due
        if due is not None:
            wait = min(max(due - self._service.clock.now(), 0.0), _LOOK)
            self._alarm = self._loop.call_later(wait, self._fire)

    def _set_forward(self) -> bool:
        """Whether the alarm would come too late, because the wall clock was set forward meanwhile."""
        if self._alarm is None or self._alarm_at is None or self._alarm.when() <= self._loop.time():
            return False  # it comes now
        return self._alarm_at <= self._service.clock.now()

    def put_off(self) -> None:
        """Set the alarm to a retry after a pause: the store failed, and immediate retries could go on for ever."""
        if self._again:
            return
        self._again = True
        if self._alarm is not None:
            self._alarm.cancel()
        self._alarm = self._loop.call_later(_RETRY, self._fire)

    def _fire(self) -> None:
        self._alarm = self._alarm_at = None
        self._again = False
        try:
            self._service.fire_due(hold=True)
        except Exception as error:
            _LOG.exception("Deadlines could not be fired; they will be tried again")
            self._lost(error)
            return
        if self._service.store.dirty:
            self._wrote()
        self.arm()

    def _clean(self) -> None:
        more = False
        try:
            more = self._service.clean()
            if self._values is not None and not self._service.store.dirty:
                more |= self._values.clean(self._service.store, self._service.clock.now())
        except Exception as error:
            _LOG.exception("Old executions could not be forgotten; it will be tried again")
            self._lost(error)
        if self._service.store.dirty:
            self._wrote()
        self._cleaner = self._loop.call_later(_CLEAN_STEP if more else _CLEAN_EVERY, self._clean)
