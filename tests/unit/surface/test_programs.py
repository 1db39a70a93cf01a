from __future__ import annotations

import json
import subprocess

import pytest

from simpleflow import execute
from simpleflow.exceptions import ExecutionError, ExecutionTimeoutError
from simpleflow.process import tree
from tests.unit.surface import run_elsewhere as there


def test_a_function_and_a_class_run_in_a_process_of_their_own() -> None:
    assert there.add(4) == 5
    assert there.add(3, b=7) == 10
    assert there.Joined("a", "ʘ", context={"activity_id": "7"}) == "a+ʘ of 7"


def test_arguments_that_no_command_line_holds() -> None:
    assert there.size("ä" * (1 << 20)) == 1 << 20


def test_what_it_raises_comes_as_json() -> None:
    with pytest.raises(ExecutionError) as caught:
        there.refuses("ʘ")
    details = json.loads(str(caught.value))
    assert (details["error"], details["error_type"], details["message"]) == ("LookupError", "LookupError", "no ʘ")
    assert "refuses" in details["traceback"]


def test_a_process_that_is_killed_is_named_with_its_signal() -> None:
    with pytest.raises(ExecutionError, match="SIGKILL"):
        there.ends_at_once()


def test_a_process_that_takes_too_long() -> None:
    with pytest.raises(ExecutionTimeoutError, match=r"ExecutionTimeoutError after 0\.5 seconds") as caught:
        there.hangs()
    assert caught.value.timeout_value == 0.5


def test_children_that_are_left_behind_end() -> None:
    pid = there.leaves_a_child()
    assert not tree.lives(pid)


def test_a_program_gets_its_arguments_as_they_are() -> None:
    assert there.echo("a b", "$HOME", n2="x y") == "--n2=x y a b $HOME\n"
    assert execute.format_arguments("a", c=1, val="two words") == ["-c=1", "--val=two words", "a"]


def test_the_signature_is_checked_before_the_program_is_run() -> None:
    @execute.program(path="no-such-program")
    def two(a: int, b: int) -> None: ...

    with pytest.raises(TypeError, match=r"^command takes 2 arguments: 3 passed$"):
        two(1, 2, 3)
    with pytest.raises(TypeError, match=r"^command takes 2 arguments: 1 passed$"):
        two(1)
    with pytest.raises(TypeError, match="missing a required argument: 'a'"):
        two(b=1)
    with pytest.raises(ExecutionError, match="no-such-program cannot be started"):
        two(b=1, a=2)
    with pytest.raises(ExecutionError, match="no-such-program cannot be started"):
        two(1, 2)


def test_arguments_that_a_program_does_not_take_are_refused_in_the_words_of_0_36() -> None:
    program = execute.program(path="no-such-program")

    @program
    def listed(*args: str) -> None: ...

    @program
    def named(**kwargs: str) -> None: ...

    @program
    def required(hide: object = execute.RequiredArgument, *args: str) -> None: ...

    @program
    def marked(*args: str, quality: int) -> None: ...

    for call, text in (
        (lambda: listed(hide="x"), "command does not take keyword arguments"),
        (lambda: named("x"), "command does not take varargs"),
        (lambda: required("x"), 'argument "hide" not found'),
        (lambda: marked("x"), "missing a required argument: 'quality'"),
        (lambda: marked("x", qualitty=1), "missing a required argument: 'quality'"),
    ):
        with pytest.raises(TypeError) as caught:
            call()
        assert caught.value.args == (text,)
    for call in (lambda: listed("x"), lambda: named(a="x"), lambda: required(hide="x"), lambda: marked(quality=1)):
        with pytest.raises(ExecutionError, match="no-such-program cannot be started"):
            call()


def test_a_program_that_fails_says_why() -> None:
    @execute.program(path="sh", argument_format=lambda script: ["-c", script])
    def sh(script: str) -> None: ...

    assert sh("echo out; echo err >&2") == "out\n"
    with pytest.raises(ExecutionError, match=r"status 3.*: it is full") as caught:
        sh("echo half; echo it is full >&2; exit 3")
    assert isinstance(caught.value, subprocess.CalledProcessError)
    assert (caught.value.returncode, caught.value.output, caught.value.stderr) == (3, "half\n", "it is full\n")


def test_the_other_side_as_a_command(capfd: pytest.CaptureFixture[str]) -> None:
    assert execute.main(["os.path.basename", '{"args": ["/tmp/x"]}']) == 0
    assert capfd.readouterr().out == '\n"x"'
    assert execute.main(["os.path.basename", '{"args": [3]}']) == 1
    assert json.loads(capfd.readouterr().err.splitlines()[-1])["error"] == "TypeError"
    with pytest.raises(SystemExit):
        execute.main(["os.path.basename", "[3"])


def test_names_of_callables() -> None:
    assert execute.get_name(json.dumps) == "json.dumps"
    with pytest.raises(ValueError, match="not callable"):
        execute.get_name(3)
