"""Reads a cluster file: every problem at once, each with file:line and what to write instead."""

from __future__ import annotations

import contextlib
import difflib
import math
import re
from pathlib import Path
from typing import Any

import msgspec
from msgspec import inspect

from simpleflow.core import text as texts
from simpleflow.nodes import errors

from . import plain, reach, rules, shapes
from .plain import Where, dotted

#: characters that no key and no text of a cluster file may hold: control characters, line separators, marks that turn
#: the direction of a text, surrogates
_UNPRINTABLE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ufeff\ufffe\uffff\ud800-\udfff]")
#: mappings of free text: a value may have lines and blanks at its ends
_FREE = frozenset({"environment"})
#: letters of a text for which another one is proposed
_MOST_NAME = 60
#: what others call a thing
_OTHERWISE = {"amd64": "x86_64", "x64": "x86_64", "x86-64": "x86_64", "aarch64": "arm64", "ondemand": "on-demand"}


class LoadedCluster(msgspec.Struct, frozen=True, kw_only=True):
    """A cluster file and its values."""

    path: str
    config: shapes.ClusterConfig


def load(path: str | Path) -> LoadedCluster:
    """Read the cluster file at ``path``. Raises ClusterFileError with every problem in it."""
    source = Path(path)
    try:
        if source.exists() and not source.is_file():
            what = "a folder: name the file in it" if source.is_dir() else "not a file: write one"
            raise errors.ClusterFileError((f"{source}: this is {what}",))
        with source.open("rb") as file:
            text = file.read(plain.MOST_BYTES + 1).decode("utf-8")
    except FileNotFoundError:
        raise errors.ClusterFileError(
            (f"{source}: no such cluster file; write one with `sfnodes init {source}`",)
        ) from None
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise errors.ClusterFileError((f"{source}:{line}: the file is not UTF-8 text; save it as UTF-8",)) from error
    except (OSError, ValueError) as error:
        raise errors.ClusterFileError((f"{texts.visible(str(source))}: cannot be read: {error}",)) from error
    return LoadedCluster(path=str(source.resolve()), config=loads(text, str(path)))


def loads(text: str, source: str = "cluster.yaml") -> shapes.ClusterConfig:
    """Read the text of a cluster file; messages call it ``source``. Raises ClusterFileError with all its problems."""
    problems = plain.Problems(source)
    value = plain.read(text, problems)
    _check(value, inspect.type_info(shapes.ClusterConfig), (), problems)
    problems.raise_any()
    config = msgspec.convert(value, shapes.ClusterConfig)
    for where, message in rules.check(config):
        problems.add(where, message)
    problems.raise_any()
    return _placed(config)


def require_reach(loaded: LoadedCluster, shown: str = "") -> None:
    """Raise ClusterFileError for a cluster whose machines would not reach it; ``shown`` is the file's name to show."""
    if problems := tuple(reach.missing(loaded.config)):
        line = 1
        with contextlib.suppress(OSError, UnicodeDecodeError):
            lines = Path(loaded.path).read_text(encoding="utf-8").splitlines()
            line = next((number for number, each in enumerate(lines, 1) if each.startswith("provider")), 1)
        raise errors.ClusterFileError(tuple(f"{shown or loaded.path}:{line}: {each}" for each in problems))


def _placed(config: shapes.ClusterConfig) -> shapes.ClusterConfig:
    """Put the documents into a folder named after the cluster: several clusters may share the user's bucket."""
    scheme, _, rest = config.store.partition("://")
    if scheme != "s3" or not rest or "/" in rest:
        return config
    return msgspec.structs.replace(config, store=f"{config.store}/{config.cluster}")


def _suggest(word: str, known: list[str]) -> str:
    close = difflib.get_close_matches(word[:100], known, n=1, cutoff=0.6)
    return f"did you mean '{close[0]}'?" if close else f"known here: {', '.join(known)}"


def _show(value: Any, where: Where, problems: plain.Problems) -> str:
    """Return a value as the file has it."""
    if isinstance(value, str):
        return plain.word(f"'{value}'")
    return plain.word(problems.words.get(where) or msgspec.json.encode(value, enc_hook=str).decode())


def _takes_nothing(expected: inspect.Type) -> bool:
    match expected:
        case inspect.Metadata(type=inner):
            return _takes_nothing(inner)
        case inspect.UnionType(types=types):
            return any(isinstance(each, inspect.NoneType) for each in types)
    return False


def _nothing(expected: inspect.Type, where: Where, needed: bool) -> str:
    """Say what to write after a key that has no value."""
    if isinstance(expected, inspect.StructType):
        return f"{dotted(where)} has no value; write {where[-1]}: {{}}, or keys below it: {_names(expected.fields)}"
    return f"{dotted(where)} has no value; write one{'' if needed else ', or leave the key out'}"


def _check(
    value: Any, expected: inspect.Type, where: Where, problems: plain.Problems, about: str = "", needed: bool = True
) -> None:
    """Compare a plain value with a type; add a problem for each difference.

    ``about``: the type in words; ``needed``: whether its key must be there.
    """
    if value is None and not _takes_nothing(expected):
        if where not in problems.told:
            problems.add(where, _nothing(expected, where, needed))
        return
    match expected:
        case inspect.Metadata(type=inner, extra_json_schema=extra):
            _check(value, inner, where, problems, str((extra or {}).get("description", "")), needed)
        case inspect.UnionType(types=types):
            if value is None and any(isinstance(each, inspect.NoneType) for each in types):
                return
            others = [each for each in types if not isinstance(each, inspect.NoneType)]
            words = [each for each in others if isinstance(each, inspect.LiteralType)]
            if len(others) == 1 or not words:
                _check(value, others[0], where, problems)
            else:
                _check_number_or_word(value, others, words[0].values, where, problems)
        case inspect.StructType(fields=fields):
            _check_struct(value, fields, where, problems)
        case inspect.DictType(key_type=key_type, value_type=value_type):
            if not isinstance(value, dict):
                shown = _show(value, where, problems)
                problems.add(where, f"{dotted(where)}: {shown} is not a mapping; write 'name: value' lines below it")
                return
            for key, each in value.items():
                _check(key, key_type, (*where, key), problems)
                _check(each, value_type, (*where, key), problems)
        case inspect.VarTupleType(item_type=item):
            if not isinstance(value, list):
                shown = _show(value, where, problems)
                meant = f"[{value}]" if isinstance(value, str) and value.isprintable() and len(value) < 60 else "[A, B]"
                problems.add(where, f"{dotted(where)}: {shown} is not a list; write it in brackets: {meant}")
                return
            for index, each in enumerate(value):
                _check(each, item, (*where, str(index)), problems)
        case _:
            _check_scalar(value, expected, where, problems, about)


def _check_number_or_word(
    value: Any, types: list[inspect.Type], words: tuple[Any, ...], where: Where, problems: plain.Problems
) -> None:
    """Compare with a type that allows a number or one of a few words."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        _check(value, next(each for each in types if not isinstance(each, inspect.LiteralType)), where, problems)
    elif value not in words:
        known = ", ".join(str(each) for each in words)
        shown = _show(value, where, problems)
        problems.add(where, f"{dotted(where)}: {shown} is neither a number nor one of {known}{_meant(value, words)}")


def _check_struct(value: Any, fields: tuple[inspect.Field, ...], where: Where, problems: plain.Problems) -> None:
    if not isinstance(value, dict):
        shown = _show(value, where, problems)
        problems.add(where, f"{dotted(where)}: {shown} is not a mapping; known keys: {_names(fields)}")
        return
    known = {field.name: field for field in fields}
    for key, each in value.items():
        if problems.many:
            return
        if key not in known:
            problems.add((*where, key), f"unknown key '{dotted((*where, key))}'; {_suggest(key, list(known))}")
        else:
            _check(each, known[key].type, (*where, key), problems, needed=known[key].required)
    for field in fields:
        if field.required and field.name not in value:
            problems.add(where, f"{dotted(where)}: '{field.name}' is missing; add it")


def _names(fields: tuple[inspect.Field, ...]) -> str:
    return ", ".join(field.name for field in fields)


def _meant(value: Any, words: tuple[Any, ...]) -> str:
    """Return what a wrong word may have meant, or the number or truth that stands in quotes."""
    if not isinstance(value, str):
        return ""
    meant = value.strip().lower()[:100]
    close = difflib.get_close_matches(_OTHERWISE.get(meant, meant), [str(each) for each in words], n=1, cutoff=0.6)
    if close:
        return f"; did you mean '{close[0]}'?"
    return f"; write {value.strip()} without quotes" if re.fullmatch(r"\s*[0-9]+(\.[0-9]+)?\s*", value) else ""


def _check_scalar(value: Any, expected: inspect.Type, where: Where, problems: plain.Problems, about: str) -> None:
    shown = f"{dotted(where)}: {_show(value, where, problems)}"
    match expected:
        case inspect.LiteralType(values=allowed):
            if value not in allowed or isinstance(value, (bool, float)):
                known = ", ".join(str(each) for each in allowed)
                problems.add(where, f"{shown} is not one of {known}{_meant(value, allowed)}")
        case inspect.BoolType():
            if not isinstance(value, bool):
                meant = {"yes": "true", "on": "true", "no": "false", "off": "false"}.get(str(value).lower(), "")
                known = meant or (str(value).lower() if str(value).lower() in ("true", "false") else "one of them")
                problems.add(where, f"{shown} is neither true nor false; write {known}, without quotes")
        case inspect.IntType() | inspect.FloatType():
            _check_number(value, expected, where, problems)
        case inspect.StrType():
            if isinstance(value, (dict, list)):
                problems.add(where, f"{shown} is not text; write one word or text")
            elif not isinstance(value, str):
                problems.add(where, f"{shown} is not text; write it in quotes: '{_show(value, where, problems)}'")
            elif problem := _text_problem(value, expected, where, about):
                problems.add(where, f"{shown} {problem}")


def _check_number(
    value: Any, expected: inspect.IntType | inspect.FloatType, where: Where, problems: plain.Problems
) -> None:
    shown = f"{dotted(where)}: {_show(value, where, problems)}"
    whole = isinstance(expected, inspect.IntType)
    if isinstance(value, bool) or not isinstance(value, int if whole else (int, float)):
        if isinstance(value, float):
            meant = (
                f"; write {value:.0f}" if value.is_integer() else f"; write {math.floor(value)} or {math.ceil(value)}"
            )
        else:
            meant = _meant(value, ()) or f"; write digits, such as {int(max(expected.ge or 0, 1))}"
        problems.add(where, f"{shown} is not a {'whole number' if whole else 'number'}{meant}")
        return
    for bad, sign, bound in (
        (expected.ge is not None and value < expected.ge, "at least", expected.ge),
        (expected.gt is not None and value <= expected.gt, "more than", expected.gt),
        (expected.le is not None and value > expected.le, "at most", expected.le),
    ):
        if bad:
            problems.add(where, f"{shown} must be {sign} {bound:,}")


def _text_problem(value: str, expected: inspect.StrType, where: Where, about: str) -> str:
    """Say why a text is not allowed; '' when it is. ``about`` describes its form."""
    blank_is_wrong = expected.min_length or (expected.pattern and not re.fullmatch(expected.pattern, ""))
    if blank_is_wrong and not value.strip():
        return "is blank; write a value or leave the key out"
    free = len(where) > 1 and where[-2] in _FREE
    if _UNPRINTABLE.search(value):
        return "holds a character that cannot be shown; remove it"
    if not free and value.strip() != value:
        return "has blanks or an empty line at its ends; remove them"
    if not free and "\n" in value:
        return "has more than one line; write it on one"
    if expected.pattern and not re.fullmatch(expected.pattern, value):
        return f"does not match: {about or expected.pattern}{_as_name(value, expected.pattern)}"
    return ""


def _as_name(value: str, pattern: str) -> str:
    """Return the nearest allowed text, where small letters and '-' make one."""
    if len(value) > _MOST_NAME:
        return ""
    made = re.sub(r"[^a-z0-9]+", "-", value.lower()).strip("-")[:31].rstrip("-")
    return f"; write '{made}'" if made and made != value and re.fullmatch(pattern, made) else ""
