"""Killed and stopped processes, cut networks, storms of faults: every workflow ends well, no effect is lost.

The short ones run always; ``make test-slow`` runs 200 workflows, and half an hour of them to see what grows
(SIMPLEFLOW_SOAK_SECONDS: another time).
"""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import chaos_flows
import chaos_rig
import psutil
import pytest
from place_rig import Place, eventually

pytestmark = pytest.mark.needs_processes
NETWORK = ("delay", "reset", "garbage", "drop", "storm")
KILLS = ("runner", "decider", "worker", "service", "stop", "disk", "clock")
#: of the library that makes a process see another time
FAKETIME = Path("/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1")


@pytest.fixture
def rig(place: Place) -> Iterator[chaos_rig.Rig]:
    made = chaos_rig.Rig(place, workers=1, slots=2)
    try:
        yield made
    finally:
        made.close()


def test_the_same_pollers_survive_each_fault(rig: chaos_rig.Rig) -> None:
    with rig.near() as client:
        eventually(lambda: rig.deciders() and rig.runners())
        before = [rig.workers[0].pid, *(process.pid for process in rig.deciders())]
        rig.start(client, len(chaos_flows.SHAPES))
        for name in (*NETWORK, "runner", "stop", "service"):
            rig.trouble(name)
        rig.start(client, len(chaos_flows.SHAPES))
        rig.check(client, timeout=240)
    assert [rig.workers[0].pid, *(process.pid for process in rig.deciders())] == before
    shown = [" ".join(psutil.Process(pid).cmdline()) for pid in before]
    assert "ActivityPoller(task_list=work)" in shown[0]
    assert "DeciderPoller(task_list=decisions)" in shown[1]


def test_kills_a_full_disk_and_a_clock_that_jumps_lose_nothing(rig: chaos_rig.Rig) -> None:
    with rig.near() as client:
        for name in ("decider", "disk", "worker", "clock"):
            rig.start(client, 6)
            rig.goes_on()
            rig.trouble(name)
        rig.check(client, timeout=240)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_200_workflows_end_well_whatever_fails(place: Place) -> None:
    rig = chaos_rig.Rig(place, workers=2, slots=2)
    try:
        with rig.near() as client:
            for number in range(25):
                rig.start(client, 8)
                rig.trouble((*NETWORK, *KILLS)[number % (len(NETWORK) + len(KILLS))])
            rig.check(client, timeout=1200)
        assert len(rig.runs) == 200
    finally:
        rig.close()


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_full_disk_stops_nothing_for_good(place: Place) -> None:
    place.folder.joinpath("data").mkdir()
    size = "size=24m,mode=700"
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", size, "tmpfs", place.folder / "data"], capture_output=True)
    if mounted.returncode:
        pytest.skip("a small disk cannot be mounted here: mount needs root, and a container may forbid it")
    try:
        rig = chaos_rig.Rig(place, workers=1, slots=2)
        try:
            with rig.near() as client:
                rig.start(client, 24)
                for _ in range(3):
                    chaos_rig.fill(place.folder / "data", 2.0)
                    time.sleep(1.0)
                if not rig.service_answers():
                    rig.kill_service()
                rig.check(client, timeout=600)
        finally:
            rig.close()
            place.run("server.stop")
    finally:
        subprocess.run(["umount", "-l", place.folder / "data"], check=True)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_clocks_that_jump_change_no_result(place: Place) -> None:
    if not FAKETIME.exists():
        pytest.skip(f"{FAKETIME} is not there: scripts/test-setup --all installs libfaketime")
    offset = place.folder / "offset"
    offset.write_text("+0")
    # The library makes time.sleep of Python 3.11 and later fail where it leaves the monotonic clock alone.
    (place.folder / "sitecustomize.py").write_text(
        "import threading, time\ntime.sleep = lambda seconds: threading.Event().wait(seconds) and None\n"
    )
    fake = {
        "PYTHONPATH": os.pathsep.join([str(place.folder), place.env["PYTHONPATH"]]),
        "LD_PRELOAD": str(FAKETIME),
        "FAKETIME_TIMESTAMP_FILE": str(offset),
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }
    rig = chaos_rig.Rig(place, workers=1, slots=2, env=fake)
    try:
        with rig.near() as client:
            for jump in ("+0", "+3600", "-3600", "+86400", "+0"):
                offset.write_text(jump)
                rig.start(client, 12)
                time.sleep(1.5)
            rig.check(client, timeout=600)
        assert rig.workers[0].poll() is None
    finally:
        rig.close()


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_half_an_hour_of_trouble_makes_nothing_grow(place: Place) -> None:
    seconds = float(os.environ.get("SIMPLEFLOW_SOAK_SECONDS", "1800"))
    rig = chaos_rig.Rig(place, workers=2, slots=2)
    figures = []
    try:
        with rig.near() as client:
            begun, checked = time.monotonic(), 0
            eventually(lambda: rig.deciders() and rig.runners())
            while time.monotonic() - begun < seconds:
                rig.start(client, 24)
                # The kill of a process would hide what it gathers: these live as long as the test.
                for name in (*NETWORK, "runner", "stop"):
                    rig.trouble(name)
                rig.check(client, timeout=600)
                checked += len(rig.runs)
                rig.runs.clear()
                (place.folder / "effects").write_text("")
                figures.append({"seconds": round(time.monotonic() - begun), "runs": checked, **rig.held()})
                print(json.dumps(figures[-1]), flush=True)
        first, last = figures[min(len(figures) // 4, 3)], figures[-1]
        for name in ("decider", "worker 0", "worker 1", "service"):
            (files, mib), (files_now, mib_now) = first[name], last[name]
            assert files_now <= files + 30, (name, figures)
            assert mib_now <= mib * 1.3 + 30, (name, figures)
        left = [p for p in psutil.process_iter() if p.pid in {each.pid for each in rig.runners()}]
        assert len(left) <= 4
    finally:
        rig.close()
