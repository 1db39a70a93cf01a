"""What ``ps`` shows: ``simpleflow ActivityPoller(task_list=heavy)[polling]``."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, Concatenate, ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")
Named = TypeVar("Named", bound="NamedMixin")

#: set to False by a root when SIMPLEFLOW_DISABLE_SETPROCTITLE says so
enabled = True


def set_title(title: str) -> None:
    """Set the title of this process; does nothing when titles are disabled."""
    if enabled:
        import setproctitle  # 15 ms that only long-lived processes pay

        setproctitle.setproctitle(title)


class NamedMixin:
    """A process title from the class's name, some of its attributes, and what it is doing."""

    #: what the title calls it; '': the class's name
    named_mixin_title = ""
    #: attributes that the title shows
    named_mixin_properties: tuple[str, ...] = ()
    _state = ""

    @property
    def state(self) -> str:
        return self._state

    @state.setter
    def state(self, value: str) -> None:
        if value != self._state:
            self._state = value
            self.set_process_name()

    def set_process_name(self, name: str | None = None) -> None:
        """Set the title; ``name`` replaces ``named_mixin_title``, or the class's name."""
        shown = ", ".join(f"{key}={getattr(self, key)}" for key in self.named_mixin_properties)
        state = f"[{self._state}]" if self._state else ""
        set_title(f"simpleflow {name or self.named_mixin_title or type(self).__name__}({shown}){state}")


def with_state(
    state: str,
) -> Callable[[Callable[Concatenate[Named, P], R]], Callable[Concatenate[Named, P], R]]:
    """Decorate a method of a NamedMixin: the title shows ``state`` while it runs."""

    def decorate(method: Callable[Concatenate[Named, P], R]) -> Callable[Concatenate[Named, P], R]:
        @functools.wraps(method)
        def call(self: Named, /, *args: P.args, **kwargs: P.kwargs) -> R:
            before: Any = self.state
            self.state = state
            try:
                return method(self, *args, **kwargs)
            finally:
                self.state = before

        return call

    return decorate
