"""What the coordinator refused for now, and when to ask again."""

from __future__ import annotations


class Throttle:
    """How often in a row the coordinator refused something for now, and whether the back-off timer has fired since."""

    __slots__ = ("_decision", "cause", "count", "timer", "waiting")

    def __init__(self) -> None:
        self.cause = ""
        #: decisions in a row of which something was refused for this cause
        self.count = 0
        #: nothing is scheduled until the timer fires
        self.waiting = False
        #: a wake-up timer was started since the refusal
        self.timer = False
        self._decision = 0

    def failed(self, cause: str, decision: int, event_id: int) -> None:
        if cause != self.cause:
            self.cause, self.count = cause, 0
        if decision != self._decision:
            self._decision = decision
            self.count += 1
            self.timer = False
        self.waiting = True

    def succeeded(self, decision: int) -> None:
        if self.count and decision != self._decision:
            self.count = 0
            self.waiting = False

    def timer_started(self, decision: int) -> None:
        # One that the very decision started of which something was refused is not a back-off.
        self.timer = self.waiting and decision != self._decision

    def timer_fired(self) -> None:
        if self.timer:
            self.waiting = self.timer = False

    @property
    def delay(self) -> int:
        """Seconds: 1, 2, 4, ... 60."""
        return min(60, 1 << min(self.count - 1, 6))
