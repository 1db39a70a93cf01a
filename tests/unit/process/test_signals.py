from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator

import pytest

from simpleflow.process import NamedMixin, Stop, reset_signal_handlers, titles, with_state


@pytest.fixture(autouse=True)
def _handlers() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def test_the_first_signal_drains_and_the_second_hurries() -> None:
    stop = Stop()
    stop.install()
    assert stop.level == Stop.RUN
    os.kill(os.getpid(), signal.SIGTERM)
    assert stop.wait(60) == Stop.DRAIN
    os.kill(os.getpid(), signal.SIGINT)
    assert stop.wait(60) == Stop.HURRY
    os.kill(os.getpid(), signal.SIGTERM)
    assert stop.wait(0.05) == Stop.HURRY


def test_two_signals_whose_handlers_run_one_inside_the_other_are_two() -> None:
    stop = Stop()

    class Interrupted(int):
        """The level as it is read while the other signal's handler runs."""

        def __add__(self, other: int) -> int:
            stop._level = 0
            stop._handle(signal.SIGINT, None)
            return 1

    stop._level = Interrupted(0)
    stop._handle(signal.SIGTERM, None)
    assert stop.level == Stop.HURRY


def test_a_wait_is_ended_by_another_thread() -> None:
    stop = Stop()
    threading.Timer(0.05, stop.request).start()
    assert stop.wait(10) == Stop.DRAIN


def test_reset_gives_the_defaults_back() -> None:
    Stop().install()
    reset_signal_handlers()
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_titles_show_properties_and_state(monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[str] = []
    monkeypatch.setattr(titles, "set_title", shown.append)

    class ActivityPoller(NamedMixin):
        named_mixin_properties = ("task_list",)
        task_list = "heavy"

        @with_state("polling")
        def poll(self) -> str:
            return self.state

    poller = ActivityPoller()
    assert poller.poll() == "polling"
    assert shown == [
        "simpleflow ActivityPoller(task_list=heavy)[polling]",
        "simpleflow ActivityPoller(task_list=heavy)",
    ]
