"""The package's files and what they import, read with ``ast`` (nothing is imported to find out)."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "simpleflow"


def module_name(path: Path) -> str:
    relative = path.relative_to(PACKAGE).with_suffix("")
    parts = list(relative.parts)
    if parts[-1] == "__init__":
        parts.pop()
    return ".".join(parts)


def python_files() -> Iterator[Path]:
    for folder in (PACKAGE, *(PACKAGE / link for link in ("infra", "provisioning", "ami"))):
        yield from sorted(p for p in folder.rglob("*.py"))


def imports(path: Path) -> Iterator[tuple[int, str]]:
    """Every imported module as an absolute dotted name, with its line; names of 'from x import y' included."""
    package = ["simpleflow", *filter(None, module_name(path).split("."))]
    return imports_in(path.read_text(), package if path.name == "__init__.py" else package[:-1])


def imports_in(text: str, package: list[str]) -> Iterator[tuple[int, str]]:
    """As `imports`, for the text of a file that stands in ``package``; wherever in the file the import stands."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                base = ".".join([*package[: len(package) - node.level + 1], *filter(None, [base])])
            for alias in node.names:
                yield node.lineno, f"{base}.{alias.name}" if base.startswith("simpleflow") else base


def resolve(imported: str) -> str:
    """'simpleflow.core.clock.Clock' -> 'core.clock'; names that are no module fall back to their module."""
    parts = imported.split(".")[1:]
    while parts and not (
        (PACKAGE.joinpath(*parts).with_suffix(".py")).exists() or PACKAGE.joinpath(*parts, "__init__.py").exists()
    ):
        parts.pop()
    return ".".join(parts)


FILES = list(python_files())
