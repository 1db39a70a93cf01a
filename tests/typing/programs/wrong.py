"""What type checkers must refuse: each line with ``# wrong`` is an error. Checked by test_typing.py, never run."""

from __future__ import annotations

from right import Child, Program, length  # type: ignore[import-not-found,unused-ignore]

from simpleflow import canvas, futures
from simpleflow.client import Client
from simpleflow.local import Executor
from simpleflow.local import executor as local_executor
from simpleflow.testing import Environment


def all_of_them(program: Program, client: Client, environment: Environment) -> None:
    client.startt(Child)  # wrong
    client.wait("id", timeout=[])  # wrong
    Client(domian="x")  # wrong
    Executor(Child).runn()  # wrong
    local_executor.Executor(Child).runn()  # wrong
    environment.advanced(3)  # wrong
    program.submitt(length, "x")  # wrong
    program.start_timer("t", None)  # wrong
    length(3)  # wrong
    length.options(tasklist="x")  # wrong
    number: str = program.submit(length, "x").result  # wrong
    fraction: str = program.submit(Child, 3).result  # wrong
    program.submit(length, "x").reslt  # wrong
    futures.wait(3)  # wrong
    canvas.Group(length, max_parallell=2)  # wrong
    print(number, fraction)
