"""The modules of the standard library: where they lie, and what one look at a module says."""

from __future__ import annotations

import ast
import os
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path
from typing import TypedDict

#: folders that are not library code
SKIPPED = {
    "site-packages",
    "test",
    "tests",
    "idle_test",
    "idlelib",
    "lib2to3",
    "turtledemo",
    "ensurepip",
    "__pycache__",
}

#: a branch in the sense of cyclomatic complexity (McCabe 1976)
BRANCHES = (ast.If, ast.For, ast.AsyncFor, ast.While, ast.ExceptHandler, ast.IfExp, ast.comprehension, ast.match_case)

Function = ast.FunctionDef | ast.AsyncFunctionDef


class Measure(TypedDict):
    """One module, measured."""

    module: str
    lines: int
    functions: int
    #: of the whole module: decisions + one per function
    complexity: int
    #: the most complex function: [name, complexity]
    worst: tuple[str, int]
    #: standard library packages that it imports, top level names, sorted
    imports: list[str]


def root() -> Path:
    return Path(sysconfig.get_paths()["stdlib"])


def modules(limit: int | None = None) -> list[str]:
    """Paths of the library's modules below ``root()``, sorted; ``limit`` spreads a smaller choice over all of them."""
    base, found = root(), []
    for folder, folders, files in os.walk(base):
        folders[:] = [name for name in folders if name not in SKIPPED and not name.startswith("config-")]
        found += [Path(folder, name).relative_to(base).as_posix() for name in files if name.endswith(".py")]
    found.sort()
    if limit is None or limit >= len(found):
        return found
    return [found[i * len(found) // limit] for i in range(limit)]


def parse(path: str) -> ast.Module:
    """Raises SyntaxError when the file is not Python, as a few templates in the library are not."""
    return ast.parse((root() / path).read_text(encoding="utf-8", errors="replace"), path)


def functions(tree: ast.Module) -> Iterator[Function]:
    for node in ast.walk(tree):
        if isinstance(node, Function):
            yield node


def complexity(node: ast.AST) -> int:
    """Decisions below a node, plus one."""
    count = 1
    for child in ast.walk(node):
        if isinstance(child, BRANCHES):
            count += 1
        elif isinstance(child, ast.BoolOp):
            count += len(child.values) - 1
    return count


def imports(tree: ast.Module) -> list[str]:
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names.update(alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
            names.add(node.module.split(".")[0])
    return sorted(names & sys.stdlib_module_names)


def measure(path: str) -> Measure:
    tree = parse(path)
    found = [(complexity(node), node.name) for node in functions(tree)]
    worst = max(found, default=(0, ""))
    text = (root() / path).read_text(encoding="utf-8", errors="replace")
    return {
        "module": path.removesuffix(".py").removesuffix("/__init__").replace("/", "."),
        "lines": text.count("\n"),
        "functions": len(found),
        "complexity": complexity(tree) - 1 + len(found),
        "worst": (worst[1], worst[0]),
        "imports": imports(tree),
    }
