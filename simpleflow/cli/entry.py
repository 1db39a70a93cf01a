"""The frame of both command lines, ``simpleflow`` and ``sfnodes``: every error becomes one message and an exit code."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Sequence
from typing import NoReturn

import click

from simpleflow.core import errors
from simpleflow.core import text as texts

USAGE = 64
INTERRUPTED = 130


def run(command: click.Command, name: str, argv: Sequence[str] | None = None) -> NoReturn:
    """Run the command line and exit; ``argv`` is without the command's name (default: this process's)."""
    sys.exit(status(command, name, argv))


def status(command: click.Command, name: str, argv: Sequence[str] | None = None) -> int:
    """Run the command line; return its exit code."""
    try:
        ended = command.main(words(sys.argv[1:] if argv is None else argv), prog_name=name, standalone_mode=False)
        return ended if isinstance(ended, int) else 0
    except click.UsageError as error:
        error.show()
        return USAGE
    except click.ClickException as error:
        error.show()
        return 1
    except (click.Abort, KeyboardInterrupt):
        return INTERRUPTED
    except errors.SimpleflowError as error:
        _say(str(error))
        return USAGE if isinstance(error, errors.UsageError) else 1
    except BrokenPipeError:  # The reader of the pipe has ended: `| head`.
        _let_go()
        return 1
    except OSError as error:
        _say(f"{error.filename}: {error.strerror}" if error.filename is not None else str(error.strerror or error))
        _let_go()
        return 1


def words(argv: Sequence[str]) -> list[str]:
    """Return the arguments as text: bytes that Python could not read in this locale are UTF-8.

    Raises UsageError for those that are not: they could be neither sent nor shown.
    """
    return [_word(each) for each in argv]


def _word(given: str) -> str:
    try:
        given.encode()
    except UnicodeEncodeError:
        try:
            return os.fsencode(given).decode()
        except UnicodeDecodeError:
            shown = os.fsencode(given).decode(errors="backslashreplace")
            raise errors.UsageError(f"the argument '{shown}' is not UTF-8: write it in UTF-8") from None
    return given


def _say(text: str) -> None:
    click.echo(texts.visible(f"Error: {text}", lines=True), err=True)


def _let_go() -> None:
    """Drop the rest of stdout and stderr: Python would try to write it at exit, and complain."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError, AttributeError):
            stream.flush()
            continue
        with contextlib.suppress(OSError, ValueError, AttributeError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
