"""Processes and what they started, by the real ones."""

from __future__ import annotations

import subprocess
import sys

import psutil
import pytest
from process_payloads import eventually

from simpleflow.process import tree

pytestmark = pytest.mark.needs_processes
#: ends its main thread alone once it is asked; the other one waits for the end of its input
TWO_THREADS = """
import ctypes, os, threading
gate, opens = os.pipe()
threading.Thread(target=lambda: (os.read(gate, 1), os.read(0, 1), os._exit(0))).start()
os.read(0, 1)
os.write(opens, b"x")
ctypes.CDLL(None).pthread_exit(None)
"""


def test_a_process_lives_as_long_as_one_of_its_threads() -> None:
    process = subprocess.Popen([sys.executable, "-c", TWO_THREADS], stdin=subprocess.PIPE)
    assert process.stdin is not None
    seen = psutil.Process(process.pid)
    assert tree.lives(seen)
    process.stdin.write(b"x")
    process.stdin.flush()
    eventually(lambda: seen.status() == psutil.STATUS_ZOMBIE)
    assert tree.lives(seen)
    assert tree.lives(process.pid)
    process.stdin.close()
    eventually(lambda: not tree.lives(seen))
    assert seen.status() == psutil.STATUS_ZOMBIE, "nobody has reaped it yet"
    assert process.wait(60) == 0
    assert not tree.lives(seen)
    assert not tree.lives(process.pid)


FAMILY = """
import os, sys
held = b"x" * (64 << 20)
for _ in range(3):
    if os.fork() == 0:
        sys.stdin.read()
        os._exit(0)
print("begun", flush=True)
sys.stdin.read()
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="other systems do not tell what is shared")
def test_memory_that_a_family_shares_counts_once() -> None:
    with subprocess.Popen([sys.executable, "-c", FAMILY], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"begun\n"
        assert len(tree.descendants(process.pid)) == 3
        assert tree.memory(process.pid) > 4 * (64 << 20)
        assert 64 << 20 < tree.memory(process.pid, shared_once=True) < 2 * (64 << 20)
        process.kill()
    assert tree.memory(process.pid, shared_once=True) == 0
