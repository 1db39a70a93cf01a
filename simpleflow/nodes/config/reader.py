"""Reads a cluster file: every problem at once, each with file:line and what to write instead."""

from __future__ import annotations

import difflib
import re
from pathlib import Path
from typing import Any

import msgspec
import yaml
from msgspec import inspect

from simpleflow.nodes import errors

from . import rules, shapes

#: a key's path below the document, 'profiles.gpu.market' as a tuple
Where = tuple[str, ...]


class LoadedCluster(msgspec.Struct, frozen=True, kw_only=True):
    """A cluster file and its values."""

    path: str
    config: shapes.ClusterConfig


class _Problems:
    def __init__(self, source: str) -> None:
        self.source = source
        self.found: list[tuple[int, str]] = []
        #: line of each key, and of each value where there is no key
        self.lines: dict[Where, int] = {}

    def add(self, where: Where, text: str) -> None:
        while where and where not in self.lines:
            where = where[:-1]
        self.found.append((self.lines.get(where, 1), text))

    def raise_any(self) -> None:
        if self.found:
            raise errors.ClusterFileError(tuple(f"{self.source}:{line}: {text}" for line, text in sorted(self.found)))


def load(path: str | Path) -> LoadedCluster:
    """Read a cluster file; raises ClusterFileError with every problem in it."""
    source = Path(path)
    try:
        text = source.read_text("utf-8")
    except FileNotFoundError:
        raise errors.ClusterFileError(
            (f"{source}: no such cluster file; write one with `sfnodes init {source}`",)
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise errors.ClusterFileError((f"{source}: cannot be read: {error}",)) from error
    return LoadedCluster(path=str(source.resolve()), config=loads(text, str(path)))


def loads(text: str, source: str = "cluster.yaml") -> shapes.ClusterConfig:
    """Read a cluster file's text; ``source`` is the name that problems show."""
    problems = _Problems(source)
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = mark.line + 1 if mark is not None else 1
        detail = getattr(error, "problem", None) or str(error)
        raise errors.ClusterFileError((f"{source}:{line}: not YAML: {detail}",)) from error
    if root is None:
        raise errors.ClusterFileError((f"{source}:1: the file is empty; `sfnodes init` writes one to start from",))
    value = _plain(root, (), problems)
    _check(value, inspect.type_info(shapes.ClusterConfig), (), problems)
    problems.raise_any()
    config = msgspec.convert(value, shapes.ClusterConfig)
    for where, message in rules.check(config):
        problems.add(where, message)
    problems.raise_any()
    return _placed(config)


def _placed(config: shapes.ClusterConfig) -> shapes.ClusterConfig:
    """Give the documents in a bucket of the user's a folder of the cluster's name: other clusters may use it too."""
    scheme, _, rest = config.store.partition("://")
    if scheme != "s3" or not rest or "/" in rest:
        return config
    return msgspec.structs.replace(config, store=f"{config.store}/{config.cluster}")


def _plain(node: yaml.Node, where: Where, problems: _Problems) -> Any:
    problems.lines.setdefault(where, node.start_mark.line + 1)
    if isinstance(node, yaml.MappingNode):
        result: dict[Any, Any] = {}
        for key_node, value_node in node.value:
            key = str(key_node.value)
            below = (*where, key)
            if key in result:
                first = problems.lines[below]
                problems.lines[(*below, "again")] = key_node.start_mark.line + 1
                problems.add((*below, "again"), f"'{key}' stands here twice (first on line {first}); keep one")
                continue
            problems.lines[below] = key_node.start_mark.line + 1
            result[key] = _plain(value_node, below, problems)
        return result
    if isinstance(node, yaml.SequenceNode):
        return [_plain(each, (*where, str(index)), problems) for index, each in enumerate(node.value)]
    constructor = yaml.SafeLoader("")
    try:
        return constructor.construct_object(node, deep=True)
    except (yaml.YAMLError, ValueError) as error:
        problems.add(where, f"'{node.value}' cannot be read: {error}")
        return None


def _dotted(where: Where) -> str:
    return ".".join(where) or "the file"


def _suggest(word: str, known: list[str]) -> str:
    close = difflib.get_close_matches(word, known, n=1, cutoff=0.6)
    return f"did you mean '{close[0]}'?" if close else f"known here: {', '.join(known)}"


def _show(value: Any) -> str:
    if value is None:
        return "nothing"
    return f"'{value}'" if isinstance(value, str) else msgspec.json.encode(value, enc_hook=str).decode()


def _check(value: Any, expected: inspect.Type, where: Where, problems: _Problems) -> None:
    """Compare a plain value with a type; add a problem for each difference."""
    match expected:
        case inspect.Metadata(type=inner):
            _check(value, inner, where, problems)
        case inspect.UnionType(types=types):
            if value is None and any(isinstance(each, inspect.NoneType) for each in types):
                return
            others = [each for each in types if not isinstance(each, inspect.NoneType)]
            _check(value, others[0], where, problems)
        case inspect.StructType(fields=fields):
            _check_struct(value, fields, where, problems)
        case inspect.DictType(key_type=key_type, value_type=value_type):
            if not isinstance(value, dict):
                problems.add(
                    where, f"{_dotted(where)}: {_show(value)} is not a mapping; write 'name: value' lines below it"
                )
                return
            for key, each in value.items():
                _check(key, key_type, (*where, key), problems)
                _check(each, value_type, (*where, key), problems)
        case inspect.VarTupleType(item_type=item):
            if not isinstance(value, list):
                problems.add(where, f"{_dotted(where)}: {_show(value)} is not a list; write [{value}]")
                return
            for index, each in enumerate(value):
                _check(each, item, (*where, str(index)), problems)
        case _:
            _check_scalar(value, expected, where, problems)


def _check_struct(value: Any, fields: tuple[inspect.Field, ...], where: Where, problems: _Problems) -> None:
    if not isinstance(value, dict):
        problems.add(where, f"{_dotted(where)}: {_show(value)} is not a mapping; known keys: {_names(fields)}")
        return
    known = {field.name: field for field in fields}
    for key, each in value.items():
        if key not in known:
            problems.add((*where, key), f"unknown key '{_dotted((*where, key))}'; {_suggest(key, list(known))}")
        else:
            _check(each, known[key].type, (*where, key), problems)
    for field in fields:
        if field.required and field.name not in value:
            problems.add(where, f"{_dotted(where)}: '{field.name}' is missing; add it")


def _names(fields: tuple[inspect.Field, ...]) -> str:
    return ", ".join(field.name for field in fields)


def _check_scalar(value: Any, expected: inspect.Type, where: Where, problems: _Problems) -> None:
    said = f"{_dotted(where)}: {_show(value)}"
    match expected:
        case inspect.LiteralType(values=allowed):
            if value not in allowed or isinstance(value, bool):
                problems.add(where, f"{said} is not one of {', '.join(str(each) for each in allowed)}")
        case inspect.BoolType():
            if not isinstance(value, bool):
                problems.add(where, f"{said} is neither true nor false")
        case inspect.IntType() | inspect.FloatType():
            whole = isinstance(expected, inspect.IntType)
            if isinstance(value, bool) or not isinstance(value, int if whole else (int, float)):
                problems.add(where, f"{said} is no {'whole number' if whole else 'number'}")
                return
            for bad, sign, bound in (
                (expected.ge is not None and value < expected.ge, "at least", expected.ge),
                (expected.gt is not None and value <= expected.gt, "more than", expected.gt),
                (expected.le is not None and value > expected.le, "at most", expected.le),
            ):
                if bad:
                    problems.add(where, f"{said} must be {sign} {bound:g}")
        case inspect.StrType():
            if not isinstance(value, str):
                problems.add(where, f"{said} is not text; write it in quotes")
            elif expected.min_length and len(value) < expected.min_length:
                problems.add(where, f"{_dotted(where)} is blank; write a value or leave the key out")
            elif expected.pattern and not re.search(expected.pattern, value):
                problems.add(where, f"{said} does not match {expected.pattern}")
