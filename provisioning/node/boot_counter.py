"""Stop a decider group that boots in vain: where no manager lives, the boots count themselves in the bucket.

``count`` adds one before anything that may fail; the third failed boot in a row suspends the group's Launch process
and raises the user's alarm (``failed``, or the next ``count``). ``settle`` resets once the agent has run for a while.
(Setting the group to 0 instead would flap with the wake-up alarm.) The standard library only.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
import urllib.parse
from pathlib import Path

import fetch  # type: ignore[import-not-found, unused-ignore]  # beside this file in the unpacked bundle

LIMIT = 3
#: seconds that the agent must have run, without a restart, for its boot to count as good
STEADY = 60.0
UNIT = "simpleflow-agent.service"


def read(settings: dict[str, str]) -> int:
    """Return the boots in a row that did not reset the counter; an absent object counts as none."""
    url = fetch.object_url(settings["boot_counter"], settings["region"], settings.get("endpoint", ""))
    try:
        return int(json.loads(fetch.call("GET", url, settings["region"], "s3"))["boots"])
    except fetch.DeliveryFailed as problem:
        # Without s3:ListBucket an absent object is answered with 403.
        if "HTTP 404" in str(problem) or "HTTP 403" in str(problem):
            return 0
        raise


def write(settings: dict[str, str], boots: int) -> None:
    """Replace the counter."""
    url = fetch.object_url(settings["boot_counter"], settings["region"], settings.get("endpoint", ""))
    body = json.dumps({"boots": boots, "written": time.time()}).encode()
    fetch.call("PUT", url, settings["region"], "s3", body, {"content-type": "application/json"})


def query(settings: dict[str, str], service: str, version: str, action: str, parameters: dict[str, str]) -> None:
    """Make one call of a service that speaks AWS's query protocol."""
    default = f"https://{service}.{settings['region']}.amazonaws.com/"
    host = {"monitoring": "cloudwatch"}.get(service, service)
    url = settings.get(f"{host}_endpoint") or default
    body = urllib.parse.urlencode({"Action": action, "Version": version, **parameters}).encode()
    form = {"content-type": "application/x-www-form-urlencoded; charset=utf-8"}
    fetch.call("POST", url, settings["region"], service, body, form)


def trip(settings: dict[str, str], boots: int) -> None:
    """Suspend the group's launches and raise the alarm."""
    reason = f"{boots} boots in a row failed; 'sfnodes up' resumes after the cause is mended"
    print(f"simpleflow: {reason}", file=sys.stderr)
    group = {"AutoScalingGroupName": settings["group"], "ScalingProcesses.member.1": "Launch"}
    query(settings, "autoscaling", "2011-01-01", "SuspendProcesses", group)
    if settings.get("alarm"):
        state = {"AlarmName": settings["alarm"], "StateValue": "ALARM", "StateReason": reason}
        query(settings, "monitoring", "2010-08-01", "SetAlarmState", state)


def count(settings: dict[str, str]) -> None:
    """Count this boot; trips when the three before it died without a word."""
    boots = read(settings) + 1
    write(settings, boots)
    if boots > LIMIT:
        trip(settings, boots - 1)


def failed(settings: dict[str, str]) -> None:
    """This boot failed: trips when it is the third in a row."""
    boots = read(settings)
    if boots >= LIMIT:
        trip(settings, boots)


def settle(settings: dict[str, str]) -> None:
    """Reset the counter once the agent runs steadily; returns without a reset when it ends first."""
    last = time.monotonic() + 30 * 60
    since: float | None = None
    run = ""
    while time.monotonic() < last:
        argv = ["systemctl", "show", "--property=ActiveState,InvocationID", UNIT]
        shown = subprocess.run(argv, capture_output=True, text=True, check=True).stdout
        if "ActiveState=active" not in shown or shown != run:
            since, run = time.monotonic(), shown
        elif since is not None and time.monotonic() - since >= STEADY:
            write(settings, 0)
            return
        time.sleep(5)


def main(arguments: list[str]) -> None:
    """Run one of the three commands."""
    settings = json.loads(Path(arguments[1]).read_text())
    {"count": count, "failed": failed, "settle": settle}[arguments[0]](settings)


if __name__ == "__main__":
    main(sys.argv[1:])
