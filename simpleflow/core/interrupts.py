"""Who ends what: a program that raises KeyboardInterrupt itself is not a person who presses Ctrl-C."""

from __future__ import annotations

import opcode

_RAISE = opcode.opmap["RAISE_VARARGS"]


class Interruption(BaseException):
    """Raised inside user code that shall end, by whoever runs it."""


def passes(error: BaseException) -> bool:
    """Whether an error that comes out of user code is meant for those who run it, not raised by that code itself."""
    return issubclass(type(error), Interruption) or from_outside(error)


def from_outside(error: BaseException) -> bool:
    """Whether a person, or a signal, interrupts the process: whoever runs the program must see it.

    Python raises such a KeyboardInterrupt between two instructions, never at a ``raise`` statement.
    """
    if not issubclass(type(error), KeyboardInterrupt):
        return False
    last = BaseException.__dict__["__traceback__"].__get__(error)
    while last is not None and last.tb_next is not None:
        last = last.tb_next
    return last is None or last.tb_frame.f_code.co_code[last.tb_lasti] != _RAISE
