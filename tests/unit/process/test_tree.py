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
