"""Stop a decider group whose boots fail, or whose deciders crash in a loop. A manager may not be there to do it.

``count`` adds one before any step that may fail. The third failed boot in a row suspends the group's Launch process
and raises the user's alarm (in ``failed``, or in the next ``count``). ``settle`` watches the agent while the machine
lives. It resets the counter when the agent has run for ``STEADY`` seconds, and powers off a machine whose agent ends
again and again. (If the group's size were set to 0 instead, the wake-up alarm would set it back.) This file uses the
standard library only.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import fetch  # type: ignore[import-not-found, unused-ignore]  # beside this file in the unpacked bundle

#: seconds that the agent must have run, without a restart, for its boot to count as good
STEADY = 60.0
#: starts in a row, none of which was steady, after which the machine counts as failed
STARTS = 4
#: seconds after which an agent that never became steady counts as failed, whatever it does
PATIENCE = 30 * 60.0
LOOK = 5.0
UNIT = "simpleflow-agent.service"
LOG_LINES = 20

count, failed, read, write = fetch.count_boot, fetch.failed_boot, fetch.boots, fetch.set_boots


class Watch:
    """Judges the agent from successive states of its unit."""

    def __init__(self, now: float) -> None:
        self.run = ""
        self.since = now
        self.starts = 0
        self.began = now
        self.steady = False

    def look(self, active: bool, run: str, now: float) -> str:
        """Judge one state: return 'steady' once for each run that becomes steady, 'failed', or '' for neither."""
        if run != self.run:
            # The count of starts begins anew after a steady run.
            self.starts = 1 if self.steady else self.starts + 1
            if self.steady:
                self.began = now
            self.run, self.since, self.steady = run, now, False
        if not active:
            self.since = now
        elif not self.steady and now - self.since >= STEADY:
            self.steady = True
            return "steady"
        if self.steady:
            return ""
        return "failed" if self.starts > STARTS or now - self.began >= PATIENCE else ""


def shown() -> tuple[bool, str]:
    """Return whether the agent runs, and the id of this run of it."""
    argv = ["systemctl", "show", "--property=ActiveState,InvocationID", UNIT]
    output = subprocess.run(argv, stdout=subprocess.PIPE, text=True, check=True).stdout
    values = dict(line.partition("=")[::2] for line in output.splitlines())
    return values.get("ActiveState") == "active", values.get("InvocationID", "")


def last_lines() -> str:
    """Return the last lines of the agent's log."""
    argv = ["journalctl", "--no-pager", "--output=cat", f"--lines={LOG_LINES}", f"--unit={UNIT}"]
    return subprocess.run(argv, stdout=subprocess.PIPE, text=True, check=False).stdout.strip()


def settle(path: Path, settings: dict[str, str]) -> None:
    """Watch the agent. When a call fails, systemd starts this command again."""
    watch, fresh = Watch(time.monotonic()), True
    while True:
        active, run = shown()
        verdict = watch.look(active, run, time.monotonic())
        if verdict == "steady":
            write(settings, 0)
            fresh = False
        elif verdict == "failed":
            if not fresh:
                count(settings)  # its good boot has reset the counter, so this failure is counted anew
            fetch.give_up(path, settings, fetch.DeliveryFailed(f"its agent ends again and again:\n{last_lines()}"))
        time.sleep(LOOK)


def main(arguments: list[str]) -> None:
    """Run one of the three commands."""
    path = Path(arguments[1])
    settings = json.loads(path.read_text())
    if arguments[0] == "settle":
        settle(path, settings)
    else:
        {"count": count, "failed": failed}[arguments[0]](settings)


if __name__ == "__main__":
    main(sys.argv[1:])
