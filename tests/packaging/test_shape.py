"""The shape of the package: no import circles, folders and classes of a size that a reader can hold in mind."""

from __future__ import annotations

import ast
import itertools
from collections import Counter

import pytest

from tests.packaging.source import FILES, PACKAGE, ROOT, imports, imports_in, module_name, resolve

MAX_FILES = 15
MAX_ATTRIBUTES = 35
MAX_LINES = 500

#: Folders of more than MAX_FILES files, each with the reason.
WIDE_FOLDERS: dict[str, str] = {
    "": "one file an import path that 0.36 has",
    "cli": "one file a group of commands",
    "core": "one file a kind of value; each is a leaf that every room may import",
    "runtime": "one file a noun; the halves (decider, worker) share most of them",
}
#: Classes of more than MAX_ATTRIBUTES attributes, each with its number today, which may only shrink.
WIDE_CLASSES: dict[str, int] = {}


def import_graph() -> dict[str, dict[str, int]]:
    """File -> the files that it imports, each with the line; type-checking and local imports included."""
    graph: dict[str, dict[str, int]] = {}
    for path in FILES:
        module = module_name(path)
        graph[module] = {}
        for line, imported in imports(path):
            if imported.split(".")[0] == "simpleflow" and (target := resolve(imported)) != module:
                graph[module].setdefault(target, line)
    return graph


def path_between(graph: dict[str, dict[str, int]], start: str, end: str) -> list[str]:
    """A shortest chain of imports from ``start`` to ``end``; empty if there is none."""
    came_from, queue = {start: ""}, [start]
    for module in queue:
        for target in graph.get(module, ()):
            if target == end:
                chain = [end]
                while module:
                    chain.append(module)
                    module = came_from[module]
                return chain[::-1]
            if target not in came_from:
                came_from[target] = module
                queue.append(target)
    return []


def circles(graph: dict[str, dict[str, int]]) -> list[str]:
    """Each shortest chain from a file to itself, told once, as ``file:line -> file``."""
    chains = [path_between(graph, module, module) for module in graph]
    found = {frozenset(chain): chain for chain in chains if chain}
    return [" -> ".join([*(f"{a}:{graph[a][b]}" for a, b in itertools.pairwise(c)), c[-1]]) for c in found.values()]


def attributes_of(node: ast.ClassDef) -> set[str]:
    """What the class itself declares in its body and what its methods assign to ``self``."""
    names: set[str] = set()
    for statement in node.body:
        targets = statement.targets if isinstance(statement, ast.Assign) else [getattr(statement, "target", None)]
        names.update(target.id for target in targets if isinstance(target, ast.Name))
        if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef):
            names.update(
                part.attr
                for part in ast.walk(statement)
                if isinstance(part, ast.Attribute)
                and isinstance(part.ctx, ast.Store)
                and isinstance(part.value, ast.Name)
                and part.value.id == "self"
            )
    return names


def wide_classes() -> dict[str, int]:
    return {
        f"{module_name(path)}.{node.name}": len(attributes)
        for path in FILES
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ClassDef) and len(attributes := attributes_of(node)) > MAX_ATTRIBUTES
    }


def test_no_import_circle() -> None:
    found = circles(import_graph())
    assert not found, (
        "these files import each other in a circle (imports for types and inside functions count). Let the lower file "
        "take the value as an argument, or declare a Protocol for it in the lower file, or move what both need into "
        "a third file below them:\n" + "\n".join(found)
    )


def test_circles_are_found() -> None:
    assert circles({"a": {"b": 3}, "b": {"c": 1}, "c": {"a": 9}, "d": {"a": 1}}) == ["c:9 -> a:3 -> b:1 -> c"]
    assert circles({"a": {"b": 3, "c": 4}, "b": {"c": 1}}) == []
    for hidden in ("if TYPE_CHECKING:", "def f():"):
        assert list(imports_in(f"{hidden}\n    from .x import y", ["simpleflow", "core"])) == [
            (2, "simpleflow.core.x.y")
        ]


def test_no_folder_is_wide() -> None:
    files = Counter(".".join(path.relative_to(PACKAGE).parent.parts) for path in FILES if path.name[:2] != "__")
    wide = {folder: n for folder, n in files.items() if n > MAX_FILES}
    new = {folder: n for folder, n in wide.items() if folder not in WIDE_FOLDERS}
    assert not new, f"more than {MAX_FILES} files in one folder: divide it by noun into folders below it: {new}"
    gone = set(WIDE_FOLDERS) - set(wide)
    assert not gone, f"good: not wide any more; remove them from WIDE_FOLDERS: {gone}"


def test_no_class_has_many_attributes() -> None:
    wide = wide_classes()
    new = {name: n for name, n in wide.items() if n > WIDE_CLASSES.get(name, MAX_ATTRIBUTES)}
    assert not new, (
        f"more than {MAX_ATTRIBUTES} attributes: move those that belong together to a class of theirs: {new}"
    )
    fewer = {name: wide.get(name, 0) for name, n in WIDE_CLASSES.items() if wide.get(name, 0) < n}
    assert not fewer, f"good: write the smaller number into WIDE_CLASSES, or remove it where it is 0: {fewer}"


@pytest.mark.parametrize("folder", ["simpleflow", "infra", "provisioning", "ami", "tests", "bench", "examples"])
def test_no_file_is_long(folder: str) -> None:
    files = (ROOT / folder).rglob("*.py")
    long = {str(p.relative_to(ROOT)): n for p in files if (n := len(p.read_text().splitlines())) > MAX_LINES}
    assert not long, f"more than {MAX_LINES} lines: split these by noun: {long}"
