from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import process_payloads as payloads
import pytest

from simpleflow.process import Child, Supervisor, describe_exit, tree
from simpleflow.process import tree as process_tree

pytestmark = pytest.mark.needs_processes
HERE = Path(__file__).resolve()
ENV = {**os.environ, "PYTHONPATH": f"{HERE.parents[3]}{os.pathsep}{HERE.parent}"}


def pids(folder: Path) -> list[int]:
    return sorted(int(p.name) for p in folder.iterdir())


def test_a_killed_child_is_started_again_and_stop_leaves_nothing(tmp_path: Path) -> None:
    supervisor = Supervisor(payloads.record, [str(tmp_path)], nb_children=2, background=True, env=ENV)
    supervisor.start()
    payloads.eventually(lambda: len(pids(tmp_path)) == 2)
    first = pids(tmp_path)
    os.kill(first[0], signal.SIGKILL)
    payloads.eventually(lambda: len(pids(tmp_path)) == 3)
    supervisor.stop()
    assert not any(tree.lives(pid) for pid in pids(tmp_path))


def test_starts_are_staggered_and_a_stop_during_start_up_is_prompt(tmp_path: Path) -> None:
    supervisor = Supervisor(payloads.record, [str(tmp_path)], nb_children=20, background=True, stagger=0.4, env=ENV)
    supervisor.start()
    payloads.eventually(lambda: len(supervisor.pids) >= 3)
    started = sorted(process_tree.psutil.Process(pid).create_time() for pid in supervisor.pids)
    supervisor.stop()
    assert all(later - earlier >= 0.35 for earlier, later in itertools.pairwise(started))
    assert len(pids(tmp_path)) < 20
    assert not any(tree.lives(pid) for pid in pids(tmp_path))


def test_children_that_finish_end_the_supervisor(tmp_path: Path) -> None:
    supervisor = Supervisor(payloads.record_and_finish, [str(tmp_path)], nb_children=2, env=ENV)
    supervisor.start()
    assert len(pids(tmp_path)) == 2
    assert supervisor.status == 0


def test_restarts_back_off(tmp_path: Path) -> None:
    supervisor = Supervisor(payloads.record_and_die, [str(tmp_path)], background=True, env=ENV)
    supervisor.start()
    payloads.eventually(lambda: len(pids(tmp_path)) >= 3)
    delays = [place.pause for place in supervisor._places]
    supervisor.stop()
    assert delays[0] >= 0.2, "twice the first one at least"


def test_a_local_function_is_refused() -> None:
    with pytest.raises(ValueError, match="importable module"):
        Supervisor(lambda: None)


def test_a_child_notices_the_death_of_its_parent(tmp_path: Path) -> None:
    code = (
        "import sys, time\n"
        "from simpleflow.process import Supervisor\n"
        "import process_payloads as payloads\n"
        "Supervisor(payloads.record, [sys.argv[1]], background=True).start()\n"
        "time.sleep(60)\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], env=ENV)
    payloads.eventually(lambda: len(pids(tmp_path)) == 1)
    parent.kill()
    parent.wait()
    (child,) = pids(tmp_path)
    payloads.eventually(lambda: not tree.lives(child))


def test_a_tree_ends_with_grandchildren_that_ignore_sigterm(tmp_path: Path) -> None:
    stubborn = (
        "import signal,time,os; signal.signal(15, signal.SIG_IGN)\n"
        f"open({str(tmp_path)!r} + '/' + str(os.getpid()), 'w').close(); time.sleep(60)"
    )
    parent = f"import subprocess,sys,time; subprocess.Popen([sys.executable, '-c', {stubborn!r}]); time.sleep(60)"
    child = Child([sys.executable, "-c", parent])
    payloads.eventually(lambda: len(pids(tmp_path)) == 1)
    (grandchild,) = pids(tmp_path)
    begin = time.monotonic()
    child.end(wait=0.3)
    assert not tree.lives(grandchild)
    assert not tree.lives(child.pid)
    assert time.monotonic() - begin >= 0.3


def test_orphans_of_a_dead_child_are_found_by_their_group(tmp_path: Path) -> None:
    sleeper = f"import os,time; open({str(tmp_path)!r} + '/' + str(os.getpid()), 'w'); time.sleep(60)"
    parent = (
        f"import subprocess,sys,time,os; subprocess.Popen([sys.executable, '-c', {sleeper!r}])\n"
        f"while not os.listdir({str(tmp_path)!r}): time.sleep(0.02)\n"
    )
    child = Child([sys.executable, "-c", parent])
    payloads.eventually(lambda: child.poll() is not None)
    (orphan,) = pids(tmp_path)
    assert tree.lives(orphan)
    child.end()
    assert not tree.lives(orphan)


@pytest.mark.parametrize(
    ("status", "words"), [(-9, "was killed by SIGKILL"), (3, "exited with status 3"), (-64, "was killed by SIGRTMAX")]
)
def test_an_exit_status_in_words(status: int, words: str) -> None:
    assert describe_exit(status) == words


def test_what_cannot_be_started_is_tried_again_and_the_others_live(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The log's folder is away for a while."""
    born, logs = tmp_path / "born", tmp_path / "logs"
    born.mkdir()
    logs.mkdir()
    supervisor = Supervisor(
        payloads.record, [str(born)], nb_children=2, background=True, env=ENV, log=str(logs / "log")
    )
    supervisor.start()
    payloads.eventually(lambda: len(pids(born)) == 2)
    first, second = pids(born)
    logs.rename(tmp_path / "away")
    os.kill(first, signal.SIGKILL)
    payloads.eventually(lambda: "cannot be started" in caplog.text)
    assert tree.lives(second)
    (tmp_path / "away").rename(logs)
    payloads.eventually(lambda: len(pids(born)) == 3)
    assert tree.lives(second)
    supervisor.stop()


def test_a_crash_loop_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    supervisor = Supervisor([sys.executable, "-Sc", "raise SystemExit(3)"], background=True, env=ENV)
    supervisor.start()
    payloads.eventually(lambda: "Crash loop: 5 child processes" in caplog.text)
    assert "exited with status 3" in caplog.text
    supervisor.stop()


def test_a_child_is_ended_although_no_descriptor_is_left(tmp_path: Path) -> None:
    code = (
        "import os, resource, sys\n"
        "from simpleflow.process import Child\n"
        "child = Child([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (os.dup(0), 4096))\n"
        "print(child.end(wait=0))\n"
    )
    ended = subprocess.run([sys.executable, "-c", code], env=ENV, capture_output=True, text=True, check=True)
    assert ended.stdout == "-9\n"


def in_state(pid: int, state: str) -> bool:
    return bool(process_tree.psutil.Process(pid).status() == state)


def test_ctrl_z_stops_the_family_and_tells_its_status_when_asked(tmp_path: Path) -> None:
    code = (
        "import logging, sys\n"
        "from simpleflow.process import Supervisor\n"
        "import process_payloads as payloads\n"
        "logging.basicConfig(level=logging.INFO)\n"
        "Supervisor(payloads.record, [sys.argv[1]]).start()\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], env=ENV, stderr=subprocess.PIPE, text=True)
    payloads.eventually(lambda: len(pids(tmp_path)) == 1)
    family = [parent.pid, *pids(tmp_path)]
    parent.send_signal(signal.SIGTSTP)
    payloads.eventually(lambda: all(in_state(pid, "stopped") for pid in family))
    parent.send_signal(signal.SIGCONT)
    payloads.eventually(lambda: not any(in_state(pid, "stopped") for pid in family))
    parent.send_signal(signal.SIGUSR1)
    assert parent.stderr is not None
    assert f"is process {family[1]} for" in parent.stderr.readline()
    parent.terminate()
    assert parent.wait(20) == 0
    parent.stderr.close()


def test_ctrl_z_stops_children_that_do_not_know_it(tmp_path: Path) -> None:
    code = (
        "import sys, time\n"
        "from simpleflow.process import Child, Stop\n"
        "stop = Stop()\n"
        "stop.install()\n"
        "child = Child([sys.executable, '-c', 'import time; time.sleep(60)'], tied=False)\n"
        "print(child.pid, flush=True)\n"
        "stop.wait(60)\n"
        "child.end(wait=0)\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", code], env=ENV, stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    family = [parent.pid, int(parent.stdout.readline())]
    parent.send_signal(signal.SIGTSTP)
    payloads.eventually(lambda: all(in_state(pid, "stopped") for pid in family))
    parent.send_signal(signal.SIGCONT)
    payloads.eventually(lambda: not any(in_state(pid, "stopped") for pid in family))
    parent.terminate()
    assert parent.wait(20) == 0
    parent.stdout.close()
    payloads.eventually(lambda: not tree.lives(family[1]))
