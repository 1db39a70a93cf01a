"""What is around a command line, and the tracebacks that it shows."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import click
import pytest

import simpleflow
from simpleflow.cli import context, entry, main, outcomes, sfnodes
from simpleflow.core import errors

OURS = Path(simpleflow.__file__).parent / "engine" / "strands.py"
FRAME = '  File "{}", line 7, in {}\n    value = self.function()\n            ^^^^^^^^^^^^^^^\n'
HEAD = "Traceback (most recent call last):\n"


def failing(error: BaseException) -> int:
    @click.command()
    def command() -> None:
        raise error

    return entry.status(command, "name", [])


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (errors.UsageError("field x"), 64, "Error: field x\n"),
        (errors.SimpleflowError("it is down"), 1, "Error: it is down\n"),
        (click.UsageError("no such option"), 64, "Error: no such option\n"),  # click shows the usage before it
        (click.ClickException("no"), 1, "Error: no\n"),
        (KeyboardInterrupt(), 130, ""),
        (PermissionError(errno.EACCES, "Permission denied", "/x/y"), 1, "Error: /x/y: Permission denied\n"),
    ],
)
def test_every_error_is_one_message_and_an_exit_code(
    error: BaseException, code: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert failing(error) == code
    assert capsys.readouterr().err.rpartition("\n\n")[2].lstrip("\n") == said


def test_arguments_that_this_locale_cannot_read_are_utf8() -> None:
    word = os.fsdecode("ö😀".encode())
    lone = "".join(chr(0xDC00 + byte) for byte in "ö".encode())
    assert entry.words(["a", word, lone]) == ["a", "ö😀", "ö"]
    with pytest.raises(errors.UsageError, match="UTF-8"):
        entry.words(["\udcff"])


def test_a_traceback_shows_the_author_s_frames_only() -> None:
    theirs = FRAME.format("/home/me/simpleflow/shop.py", "run")
    mixed = HEAD + FRAME.format(OURS, "_main") + theirs + FRAME.format(OURS, "take") + "TypeError: no"
    assert outcomes.own_frames(mixed) == HEAD + theirs + "TypeError: no"
    cause = HEAD + FRAME.format(OURS, "_plain") + "TypeError: the cause"
    chained = f"{cause}\n\nThe above exception was the direct cause of the following exception:\n\n{mixed}"
    assert outcomes.own_frames(chained) == HEAD + theirs + "TypeError: no"
    assert outcomes.own_frames(cause) == ""
    assert outcomes.own_frames("TypeError: from another language") == "TypeError: from another language"
    several = HEAD + theirs + "  [Previous line repeated 996 more times]\nValueError: one\n\ntwo\n  three"
    assert outcomes.own_frames(several) == several


def options(command: click.Command) -> list[click.Option]:
    return [each for each in command.params if isinstance(each, click.Option) and not each.hidden]


def test_every_command_and_option_has_its_help() -> None:
    simple = {name: main.cli.get_command(click.Context(main.cli), name) for name in main.COMMANDS}
    for name, command in {**simple, **sfnodes.cli.commands}.items():
        assert command is not None
        assert command.help, name
        assert [option.name for option in options(command) if not option.help] == [], name


def test_the_list_of_commands_of_sfnodes_is_not_cut() -> None:
    shown = sfnodes.cli.get_help(click.Context(sfnodes.cli)).partition("Commands:")[2]
    assert "..." not in shown
    assert all(name in shown for name, command in sfnodes.cli.commands.items() if not command.hidden)
    assert "cluster.yaml" in sfnodes.cli.commands["up"].get_help(click.Context(sfnodes.cli.commands["up"]))


@pytest.mark.parametrize(("given", "seconds"), [("0", 86_400.0), ("0.2", 0.2), ("60", 60.0)])
def test_no_heartbeats_leaves_them_to_the_tasks(given: str, seconds: float) -> None:
    """As with 0.36, 0 is none of the worker's own."""
    seen: list[float] = []

    @click.command()
    @context.heartbeat_option
    def command(heartbeat: float) -> None:
        seen.append(heartbeat)

    command.main(["--heartbeat", given], standalone_mode=False)
    assert seen == [seconds]
    with pytest.raises(click.BadParameter, match="or 0"):
        command.main(["--heartbeat", "0.1"], standalone_mode=False)
