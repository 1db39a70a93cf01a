"""Text that always can be had, encoded and sent: everything of a program that leaves for SWF passes here.

A program's objects may have no text (``__str__`` raises, they contain themselves), and text may have no UTF-8 (a lone
surrogate: any file name from ``os.listdir`` can hold one). A failure that could not be reported would leave its
execution open.
"""

from __future__ import annotations

import re
import traceback

import msgspec

from . import interrupts, limits

#: characters of an exception's text that are looked at: more than any field takes
_MOST = 1 << 20
#: what is cut out of the middle of a text that is too long
_CUT = "\n… {} characters left out …\n"
#: DEL and C1, marks of direction, separators, surrogates; JSON escapes the rest itself
_BEYOND = "\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff"
_STEERS = re.compile(f"[\x00-\x1f{_BEYOND}]")
_STEERS_BUT_LINES = re.compile(f"[\x00-\x08\x0b-\x1f{_BEYOND}]")
_STEERS_IN_JSON = re.compile(f"[{_BEYOND}]")
_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")
_NAMED = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}


def safe(value: object, limit: int | None = None) -> str:
    """Return the text of a value: its ``str``, else its ``repr``, else its class; UTF-8, cut to ``limit`` characters.

    What UTF-8 cannot hold is written with backslashes.
    """
    text = _own(value)
    if limit is None:
        return encodable(text)
    # Cut first: backslashes make a text up to ten times as long.
    return cut(encodable(cut(text, max(limit, _MOST))), limit)


def encodable(text: str) -> str:
    """Return the text with what UTF-8 cannot hold written with backslashes; the same text when there is none."""
    try:
        str.encode(text)
    except UnicodeEncodeError:
        return str.encode(text, "utf-8", "backslashreplace").decode()
    return text if type(text) is str else str.__str__(text)


def visible(text: str, *, lines: bool = False) -> str:
    """Return the text as terminals, logs and tables may show it: what would steer them is written with backslashes.

    Control characters, escape sequences, line separators, marks that turn the direction of text, lone surrogates. With
    ``lines`` line feeds and tabs stay.
    """
    if text.isprintable():
        return text
    return (_STEERS_BUT_LINES if lines else _STEERS).sub(_escaped, text)


def _escaped(found: re.Match[str]) -> str:
    letter = found[0]
    number = ord(letter)
    return _NAMED.get(letter) or (f"\\x{number:02x}" if number < 256 else f"\\u{number:04x}")


def visible_json(text: str) -> str:
    """Return JSON text with the same in its strings as ``\\uXXXX``: it stays JSON of the same value."""
    if text.isprintable():
        return text
    return _STEERS_IN_JSON.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


class Lines(str):
    """Text of several lines that a log shows as such, each below its record; others' text is one line there."""


def cut(text: str, limit: int) -> str:
    """Return the text with its middle left out when it holds more than ``limit`` characters."""
    if len(text) <= limit:
        return text
    if limit < 2 * len(_CUT):
        return text[: max(0, limit - 3)] + "..."
    keep = max(0, (limit - len(_CUT) - 10) // 2)
    return text[:keep] + _CUT.format(len(text) - 2 * keep) + (text[-keep:] if keep else "")


def shown(value: object, most: int = 60) -> str:
    """Return a short text that shows a value in a message: its ``repr``, else its class.

    Addresses are left out: a re-run would have others, and look like another program.
    """
    try:
        text = repr(value)
    except BaseException as raised:
        if interrupts.passes(raised):
            raise
        text = f"<{class_name(value)}>"
    text = _ADDRESS.sub("", encodable(text if len(text) <= _MOST else text[:_MOST]))
    return text if len(text) <= most else text[:most] + "…"


def count(number: int, one: str, many: str = "") -> str:
    """Return '1 node', '2 nodes'; ``many`` where that is not ``one`` with an s."""
    return f"{number:,} {one if number == 1 else many or f'{one}s'}"


def class_name(value: object) -> str:
    """Return the name of a value's class, whatever the class says of itself."""
    return encodable(_of_type(type(value), "__name__"))


def class_path(value: object) -> str:
    """Return ``module.Class`` of a value, ``Class`` alone of what Python brings: the form of 0.36's failure details."""
    kind = type(value)
    try:
        module = safe(kind.__module__)
    except BaseException as raised:
        if interrupts.passes(raised):
            raise
        module = "?"
    name = encodable(_of_type(kind, "__qualname__"))
    return name if module == "builtins" else f"{module}.{name}"


def is_a(value: object, kinds: type | tuple[type, ...]) -> bool:
    """``isinstance`` that asks the object's real class only: ``__class__`` may be a property that raises."""
    return issubclass(type(value), kinds)


def of_error(error: BaseException) -> str:
    """Return ``Class: message``, the class alone when the message is empty."""
    words = message(error)
    return f"{class_name(error)}: {words}" if words else class_name(error)


def message(error: BaseException) -> str:
    """Return the message of an exception without addresses of objects: a re-run would have others.

    The middle of a message of more than a million characters is left out.
    """
    return _ADDRESS.sub("", encodable(cut(_own(error), _MOST)))


def _own(value: object) -> str:
    for read in (str, repr):
        try:
            return read(value)
        except BaseException as raised:
            if interrupts.passes(raised):
                raise
            continue
    return f"<{class_name(value)}>"


def _of_type(kind: type, attribute: str) -> str:
    # A metaclass may answer in its own way; type's own descriptor does not ask it.
    found: str = type.__dict__[attribute].__get__(kind)
    return found


# -- failures


class Details(msgspec.Struct, frozen=True, kw_only=True):
    """Details of a failure, as docs/reference/formats.md pins them."""

    error: str
    #: dotted name of the exception's class
    error_type: str
    message: str
    traceback: str = ""


def details(error: BaseException, limit: int = limits.DATA, *, last: int | None = None) -> str:
    """Return the JSON text of an exception's details. ``last``: only so many of the innermost calls."""
    made = Details(
        error=class_name(error),
        error_type=class_path(error),
        message=message(error),
        traceback=_ADDRESS.sub("", encodable(_traceback(error, last))),
    )
    return encode_details(made, limit)


def encode_details(given: Details, limit: int = limits.DATA) -> str:
    """Return the JSON text, its message and then its traceback cut in the middle until ``limit`` characters hold it."""
    text = msgspec.json.encode(given).decode()
    room = limit
    while len(text) > limit:
        room = room * 3 // 4
        given = msgspec.structs.replace(
            given, message=cut(given.message, room // 2), traceback=cut(given.traceback, room // 2)
        )
        text = msgspec.json.encode(given).decode()
    return text


def _traceback(error: BaseException, last: int | None) -> str:
    limit = None if last is None else -last
    for read in (_whole_traceback, _frames):
        try:
            return read(error, limit)
        except BaseException as raised:
            if interrupts.passes(raised):
                raise
            continue
    return ""


def _whole_traceback(error: BaseException, limit: int | None) -> str:
    made = traceback.TracebackException(type(error), error, error.__traceback__, limit=limit, compact=True)
    return _frames(error, limit) if _is_long(made) else "".join(made.format())


def _is_long(made: traceback.TracebackException) -> bool:
    """Return whether an exception of the chain has more text than any field takes: it would be split into lines."""
    left: list[traceback.TracebackException | None] = [made]
    while left:
        each = left.pop()
        if each is not None:
            if sum(map(len, each.format_exception_only())) > _MOST:
                return True
            left += (each.__cause__, each.__context__, *(each.exceptions or ()))
    return False


def _frames(error: BaseException, limit: int | None) -> str:
    found = BaseException.__dict__["__traceback__"].__get__(error)  # whatever a property of the class answers
    lines = traceback.format_tb(found, limit)
    return "".join(["Traceback (most recent call last):\n", *lines, of_error(error), "\n"])
