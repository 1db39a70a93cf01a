"""The YAML of a cluster file as plain values with their lines.

Words that YAML 1.1 reads otherwise than a person does (``no``, ``010``, ``1:30``) are refused.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from typing import Any

import yaml

from simpleflow.core import text as texts
from simpleflow.nodes import errors

#: a key's path below the document, 'profiles.gpu.market' as a tuple
Where = tuple[str, ...]

#: bytes of a file
MOST_BYTES = 256 * 1024
#: mappings and lists inside each other; a cluster file needs five
_MOST_DEPTH = 20
#: values; an alias counts as many as the node that it stands for
_MOST_VALUES = 50_000
#: characters of a value that a message shows
_MOST_SHOWN = 80
#: digits of a number
_MOST_DIGITS = 15
#: problems that are shown
_MOST_PROBLEMS = 50

_TRUE, _FALSE = frozenset({"true", "True", "TRUE"}), frozenset({"false", "False", "FALSE"})
_NOTHING = frozenset({"", "~", "null", "Null", "NULL"})
_WHOLE = re.compile(r"[-+]?(?:0|[1-9][0-9]*)")
#: a number with a point or an exponent, as YAML and JSON write it
_DECIMAL = re.compile(r"[-+]?(?:[0-9]+\.[0-9]*|\.[0-9]+|[0-9]+(?=[eE]))(?:[eE][-+]?[0-9]+)?")
#: what the parser says -> what to write; {0}: its own words
_PLAINER = (
    ("'\\t'", "a tab; indent with blanks"),
    ("another document", "a second document begins here; keep one, without '---' in between"),
    ("undefined alias", "{0}: write the value itself, or put a text that begins with '*' in quotes"),
    ("mapping values", "a ':' that cannot stand here: indent the line as its neighbours, or put the text in quotes"),
    ("cannot start any token", "{0}: put a text that begins with it in quotes"),
    ("<block end>", "this line does not fit those above it: indent all keys of a mapping by the same number of blanks"),
    ("unknown escape", "{0}: in double quotes write two backslashes for one, or use single quotes"),
    ("expected the node content", "a value is missing, or begins with a sign of YAML's own: put a text in quotes"),
)  # fmt: skip
_MERGE, _TAG = "tag:yaml.org,2002:merge", "tag:yaml.org,2002:"


class Problems:
    """The problems of one file, by line."""

    def __init__(self, source: str) -> None:
        self.source = source
        self._found: list[tuple[int, str]] = []
        #: line of each key, and of each value where there is no key
        self.lines: dict[Where, int] = {}
        #: unquoted words as the file has them: messages show 3.10, not 3.1
        self.words: dict[Where, str] = {}
        #: paths of values that are wrong in themselves: whatever else is said of them would mislead
        self.told: set[Where] = set()

    def add(self, where: Where, text: str) -> None:
        """Note a problem with the value at this path."""
        self.told.add(where)
        while where and where not in self.lines:
            where = where[:-1]
        self.at(self.lines.get(where, 1), text)

    def at(self, line: int, text: str) -> None:
        """Note a problem with a line."""
        self._found.append((line, text))

    @property
    def many(self) -> bool:
        """Whether there are more than are shown: another one need not be looked for."""
        return len(self._found) > _MOST_PROBLEMS

    def raise_any(self) -> None:
        """Raise ClusterFileError with the problems, if there are any."""
        if self._found:
            found = list(dict.fromkeys(f"{self.source}:{line}: {text}" for line, text in sorted(self._found)))
            if len(found) > _MOST_PROBLEMS:
                last = sorted(self._found)[-1][0]
                found[_MOST_PROBLEMS:] = [f"{self.source}:{last}: there are more problems; mend those above first"]
            raise errors.ClusterFileError(tuple(found))


def read(text: str, problems: Problems) -> Any:
    """Return the value of the file. Raises ClusterFileError for what is not YAML; adds wrong values to ``problems``."""
    if len(text.encode("utf-8", "surrogatepass")) > MOST_BYTES:
        problems.at(1, f"the file is larger than {MOST_BYTES // 1024} KiB; split the cluster into several")
        problems.raise_any()
    try:
        _check_events(text, problems)
        problems.raise_any()
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError as error:
        line, message = _of_yaml(error, text)
        problems.at(line, message)
        problems.raise_any()
        raise AssertionError("unreachable: a problem was added") from error
    value = None if root is None else _Reader(problems).value(root, (), ())
    if value is None and not problems.told:
        problems.at(1, "the file is empty; `sfnodes init` writes one to start from")
    elif isinstance(value, str):
        problems.add(
            (), f"{word(repr(value))} is not a line 'key: value'; begin with 'cluster: NAME', a blank after ':'"
        )
    elif not isinstance(value, dict):
        problems.add((), "the file is not made of lines 'key: value'; begin with 'cluster: NAME'")
    if not isinstance(value, dict):
        problems.raise_any()
    return value


def _line(mark: Any) -> int:
    return int(mark.line) + 1


def word(text: str) -> str:
    """Return a piece of the file as a message shows it: on one line, shortened."""
    return texts.visible(text if len(text) <= _MOST_SHOWN else text[:_MOST_SHOWN] + "…")


def dotted(where: Where) -> str:
    """Return the path of a key as a message shows it: 'task_lists.light.slots'."""
    return word(".".join(where)) or "the file"


def _of_yaml(error: yaml.YAMLError, text: str) -> tuple[int, str]:
    """Return the line that the parser refuses, and a message that says what to write."""
    mark = getattr(error, "problem_mark", None)
    if mark is None:
        # YAML does not allow this character.
        position = getattr(error, "position", 0)
        letter = texts.visible(text[position : position + 1]) if isinstance(position, int) else "?"
        line = text.count("\n", 0, position) + 1 if isinstance(position, int) else 1
        return line, f"not YAML: the character '{letter}' is not allowed; remove it"
    detail = str(getattr(error, "problem", None) or error)
    begun = getattr(error, "context_mark", None)
    context = str(getattr(error, "context", None) or "")
    if "quoted scalar" in context and "end of stream" in detail:
        return _line(begun), "not YAML: the quote that begins here is not closed"
    if "simple key" in context and "expected ':'" in detail:
        return _line(begun), "not YAML: this line is not 'key: value'; write a ':' and a blank after its key"
    if "flow " in context and begun is not None and "expected ',' or" in detail:
        opened = "{" if "mapping" in context else "["
        detail = f"the '{opened}' of line {_line(begun)} is not closed before this place, or a ',' is missing"
    else:
        detail = next((plainer.format(detail) for sign, plainer in _PLAINER if sign in detail), detail)
    return _line(mark), f"not YAML: {texts.visible(detail)}"


def _check_events(text: str, problems: Problems) -> None:
    """Add a problem for each tag, and raise for too deep nesting, before any value is built."""
    depth = 0
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        line = _line(event.start_mark)
        if isinstance(event, (yaml.MappingStartEvent, yaml.SequenceStartEvent)):
            depth += 1
            if depth > _MOST_DEPTH:
                problems.at(line, f"more than {_MOST_DEPTH} mappings and lists inside each other; write it flatter")
                problems.raise_any()
        elif isinstance(event, (yaml.MappingEndEvent, yaml.SequenceEndEvent)):
            depth -= 1
        tag = getattr(event, "tag", None)
        if tag is not None:
            shown = texts.visible(tag.replace(_TAG, "!!"))[:60]
            problems.at(line, f"tag '{shown}' is not read; write the value without it, text in quotes")


class _Reader:
    """Makes plain values of the nodes of a YAML document."""

    def __init__(self, problems: Problems) -> None:
        self._problems = problems
        self._values = 0

    def value(self, node: yaml.Node, where: Where, above: tuple[int, ...]) -> Any:
        """Return the value of a node; ``above`` are the ids of the nodes around it."""
        problems = self._problems
        problems.lines.setdefault(where, _line(node.start_mark))
        self._values += 1
        if self._values > _MOST_VALUES:
            problems.add(where, f"the file holds more than {_MOST_VALUES} values with all aliases; write fewer")
            problems.raise_any()
        if id(node) in above:
            problems.add(where, f"{dotted(where)}: this alias stands for a value around it; write the value itself")
            return None
        above = (*above, id(node))
        if isinstance(node, yaml.MappingNode):
            return dict(self._pairs(node, where, above))
        if isinstance(node, yaml.SequenceNode):
            return [self.value(each, (*where, str(index)), above) for index, each in enumerate(node.value)]
        assert isinstance(node, yaml.ScalarNode)
        return _scalar(node, where, problems)

    def _pairs(self, node: yaml.MappingNode, where: Where, above: tuple[int, ...]) -> Iterator[tuple[str, Any]]:
        problems, seen = self._problems, set()
        for key_node, value_node in node.value:
            line = _line(key_node.start_mark)
            if problem := _key_problem(key_node):
                problems.at(line, problem)
                continue
            key = str(key_node.value)
            below = (*where, key)
            if key in seen:
                problems.at(line, f"'{word(key)}' stands here twice (first on line {problems.lines[below]}); keep one")
                continue
            seen.add(key)
            problems.lines[below] = line
            yield key, self.value(value_node, below, above)


def _key_problem(node: yaml.Node) -> str:
    if not isinstance(node, yaml.ScalarNode):
        return "a key is a list or a mapping; write one word, then ':'"
    if node.tag == _MERGE and node.style is None:
        return "merge keys ('<<') are not read; write the keys out"
    if not node.value.strip():
        return "a key is blank; write its name before ':'"
    return ""


def _scalar(node: yaml.ScalarNode, where: Where, problems: Problems) -> Any:
    """Return a quoted text as it is, or the value of an unquoted word. An ambiguous word is a problem."""
    raw = str(node.value)
    if node.style is not None:
        return raw
    problems.words[where] = raw
    if raw in _NOTHING:
        return None
    if raw in _TRUE or raw in _FALSE:
        return raw in _TRUE
    if _WHOLE.fullmatch(raw) or _DECIMAL.fullmatch(raw):
        value = float(raw) if _DECIMAL.fullmatch(raw) or len(raw) > _MOST_DIGITS else int(raw)
        if isinstance(value, float) and not (math.isfinite(value) and abs(value) < 10**_MOST_DIGITS):
            problems.add(where, f"{dotted(where)}: {word(raw)} is too large a number; write a smaller one")
            return None
        return value
    kind = node.tag.removeprefix(_TAG)
    if kind in ("int", "float", "bool", "timestamp"):
        problems.add(where, f"{dotted(where)}: {_trap(raw, kind)}, or '{word(raw)}' in quotes for text")
        return None
    return raw


def _trap(raw: str, kind: str) -> str:
    """Say how YAML 1.1 reads a word, and what to write instead."""
    shown = word(raw)
    if kind == "timestamp":
        return f"YAML reads {shown} as a date; write a number"
    if kind == "bool":
        return f"YAML reads {shown} as {str(raw.lower() in ('yes', 'on')).lower()}; write true or false"
    if len(raw) > _MOST_DIGITS:
        return f"{shown} is too large a number; write a smaller one in plain digits"
    constructor = yaml.SafeLoader("")
    node = yaml.ScalarNode(_TAG + kind, raw)
    try:
        value = constructor.construct_object(node)
    except (yaml.YAMLError, ValueError, OverflowError):
        return f"{shown} is not a number; write plain digits"
    if not math.isfinite(value):
        return f"{shown} is not a finite number; write one in digits, or leave the key out"
    plain = raw.lstrip("-+0")
    other = f" or {'-' * raw.startswith('-')}{plain}" if plain.isdigit() and plain != str(abs(value)) else ""
    return f"YAML reads {shown} as {value}; write {value}{other}"
