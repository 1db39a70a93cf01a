"""Recipes: YAML files that say what is in an image. Parsed with the line of every value, so that errors name it."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

import yaml

from . import errors

#: where the packaged recipes lie
RECIPES = Path(__file__).resolve().parent / "recipes"
#: no line of a file's content may be this one: it ends the here-document in the bootstrap script
DELIMITER = "SIMPLEFLOW_END_OF_FILE"

_PACKAGE = re.compile(r"[a-z0-9][a-z0-9.+-]+")
_NAME = re.compile(r"[a-z][a-z0-9-]*")
_UNIT = re.compile(r"[A-Za-z0-9@_.:-]+\.(service|socket|timer|target|path|mount|slice)")
_MODE = re.compile(r"0[0-7]{3}")

T = TypeVar("T")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Release:
    """One distribution release that a recipe builds for."""

    #: 'debian12'
    name: str
    #: 'bookworm'
    suite: str
    #: packages besides the recipe's own
    packages: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True, kw_only=True)
class File:
    """One file of the image."""

    path: str
    content: str
    #: octal, '0644'
    mode: str = "0644"
    #: only written into images: on a machine that runs already it would cut the ground (its network, its fstab)
    image_only: bool = False


@dataclasses.dataclass(frozen=True, kw_only=True)
class Test:
    """One shell command that must exit 0 in the booted image."""

    name: str
    run: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class Recipe:
    """A whole recipe, what it extends included."""

    name: str
    description: str
    releases: tuple[Release, ...]
    #: size of the disk image, GiB (EBS volumes are whole GiB)
    size_gib: int
    #: most 512 KiB blocks that are not zero: what an upload costs
    max_blocks: int
    packages: tuple[str, ...] = ()
    #: path patterns that dpkg leaves out of the image, and those it keeps all the same
    exclude: tuple[str, ...] = ()
    keep: tuple[str, ...] = ()
    files: tuple[File, ...] = ()
    enable: tuple[str, ...] = ()
    mask: tuple[str, ...] = ()
    #: pip requirements, installed in the virtual environment ``venv``
    venv: str = ""
    requirements: tuple[str, ...] = ()
    #: shell commands at the end of the bootstrap, in images and on running machines
    commands: tuple[str, ...] = ()
    tests: tuple[Test, ...] = ()

    def release(self, name: str) -> Release:
        """Return the release of that name; raises AmiError naming those there are."""
        for each in self.releases:
            if each.name == name:
                return each
        known = ", ".join(each.name for each in self.releases)
        raise errors.AmiError(f"recipe {self.name!r} has no release {name!r}: choose one of {known}")

    def all_packages(self, release: Release) -> tuple[str, ...]:
        """Return the packages for one release, sorted, without doubles."""
        return tuple(sorted({*self.packages, *release.packages}))


class _Reader:
    """Turns YAML nodes into values and collects what is wrong, each with file and line."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.problems: list[str] = []

    def problem(self, node: yaml.Node, message: str) -> None:
        self.problems.append(f"{self.path}:{node.start_mark.line + 1}: {message}")

    def mapping(self, node: yaml.Node, what: str, allowed: tuple[str, ...]) -> dict[str, yaml.Node]:
        if not isinstance(node, yaml.MappingNode):
            self.problem(node, f"{what} must be a mapping with the keys {', '.join(allowed)}")
            return {}
        found: dict[str, yaml.Node] = {}
        for key, value in node.value:
            name = str(key.value)
            if name not in allowed:
                self.problem(key, f"unknown key {name!r} in {what}: write one of {', '.join(allowed)}")
            elif name in found:
                self.problem(key, f"key {name!r} stands twice in {what}: remove one")
            else:
                found[name] = value
        return found

    def text(self, node: yaml.Node, what: str, pattern: re.Pattern[str] | None = None) -> str:
        if not isinstance(node, yaml.ScalarNode) or node.value == "":
            self.problem(node, f"{what} must be a text that is not empty")
            return ""
        value: str = node.value
        if pattern is not None and not pattern.fullmatch(value):
            self.problem(node, f"{what} {value!r} does not look like one: it must match {pattern.pattern}")
        return value

    def number(self, node: yaml.Node, what: str, low: int, high: int) -> int:
        text = self.text(node, what)
        if not text.isdecimal() or not low <= int(text) <= high:
            self.problem(node, f"{what} {text!r} must be a whole number from {low} to {high}")
            return low
        return int(text)

    def flag(self, node: yaml.Node, what: str) -> bool:
        if self.text(node, what) not in {"true", "false"}:
            self.problem(node, f"{what} must be true or false")
        return isinstance(node, yaml.ScalarNode) and node.value == "true"

    def items(self, node: yaml.Node, what: str, read: Callable[[yaml.Node], T]) -> tuple[T, ...]:
        if not isinstance(node, yaml.SequenceNode):
            self.problem(node, f"{what} must be a list ('- ...' lines)")
            return ()
        return tuple(read(each) for each in node.value)

    def texts(self, node: yaml.Node, what: str, pattern: re.Pattern[str] | None = None) -> tuple[str, ...]:
        return self.items(node, what, lambda each: self.text(each, f"an entry of {what}", pattern))

    def file(self, node: yaml.Node) -> File:
        keys = self.mapping(node, "a file", ("path", "content", "mode", "image_only"))
        missing = {"path", "content"} - keys.keys()
        if missing:
            self.problem(node, f"a file needs {' and '.join(sorted(missing))}")
            return File(path="/", content="")
        path = self.text(keys["path"], "path")
        if not path.startswith("/") or ".." in Path(path).parts or re.search(r"[\s'\"$`\\]", path):
            self.problem(keys["path"], f"path {path!r} must be absolute, without '..', blanks, quotes or '$'")
        content_node = keys["content"]
        content = str(content_node.value) if isinstance(content_node, yaml.ScalarNode) else ""
        if not isinstance(content_node, yaml.ScalarNode):
            self.problem(content_node, "content must be a text: write it as a block, 'content: |'")
        if content and not content.endswith("\n"):
            content += "\n"
        if DELIMITER in content.splitlines():
            self.problem(content_node, f"content may not hold the line {DELIMITER}, which ends it in the script")
        mode = self.text(keys["mode"], "mode", _MODE) if "mode" in keys else "0644"
        image_only = self.flag(keys["image_only"], "image_only") if "image_only" in keys else False
        return File(path=path, content=content, mode=mode, image_only=image_only)

    def test(self, node: yaml.Node) -> Test:
        keys = self.mapping(node, "a test", ("name", "run"))
        if missing := {"name", "run"} - keys.keys():
            self.problem(node, f"a test needs {' and '.join(sorted(missing))}")
            return Test(name="", run="")
        return Test(name=self.text(keys["name"], "name"), run=self.text(keys["run"], "run"))

    def releases(self, node: yaml.Node) -> tuple[Release, ...]:
        if not isinstance(node, yaml.MappingNode):
            self.problem(node, "releases must be a mapping: 'debian12: {suite: bookworm}'")
            return ()
        found = []
        for key, value in node.value:
            keys = self.mapping(value, f"release {key.value!r}", ("suite", "packages"))
            if "suite" not in keys:
                self.problem(value, f"release {key.value!r} needs a suite, such as 'bookworm'")
                continue
            packages = self.texts(keys["packages"], "packages", _PACKAGE) if "packages" in keys else ()
            suite = self.text(keys["suite"], "suite", _NAME)
            found.append(Release(name=str(key.value), suite=suite, packages=packages))
        return tuple(found)


_KEYS = (
    "name", "description", "extends", "releases", "disk", "packages", "exclude", "keep",
    "files", "units", "python", "commands", "tests",
)  # fmt: skip


def find(name: str) -> Path:
    """Return the file of a recipe: a path to one, or the name of a packaged one."""
    path = Path(name)
    if path.suffix in {".yaml", ".yml"}:
        if not path.is_file():
            raise errors.AmiError(f"recipe file {name} does not exist")
        return path
    packaged = RECIPES / f"{name}.yaml"
    if not packaged.is_file():
        known = ", ".join(sorted(each.stem for each in RECIPES.glob("*.yaml")))
        raise errors.AmiError(f"no recipe is called {name!r}: choose one of {known}, or give the path of a .yaml file")
    return packaged


def load(path: Path) -> Recipe:
    """Read and check a recipe and what it extends; raises RecipeError with every problem, each with file:line."""
    return _load(path, ())


def _load(path: Path, seen: tuple[Path, ...]) -> Recipe:
    path = path.resolve()
    if path in seen:
        raise errors.RecipeError([f"{path}:1: extends itself by way of {seen[-1].name}: remove one 'extends'"])
    reader = _Reader(path)
    try:
        root = yaml.compose(path.read_text(encoding="utf-8"), Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as problem:
        line = problem.problem_mark.line + 1 if problem.problem_mark else 1
        raise errors.RecipeError([f"{path}:{line}: not YAML: {problem.problem}"]) from problem
    if root is None:
        raise errors.RecipeError([f"{path}:1: the recipe is empty: it needs at least a name"])
    keys = reader.mapping(root, "a recipe", _KEYS)
    parent: Recipe | None = None
    if "extends" in keys:
        name = reader.text(keys["extends"], "extends", _NAME)
        beside = path.parent / f"{name}.yaml"
        candidate = beside if beside.is_file() and beside != path else RECIPES / f"{name}.yaml"
        if not candidate.is_file():
            reader.problem(keys["extends"], f"there is no recipe {name!r} beside this one or in the package")
        else:
            parent = _load(candidate, (*seen, path))
    recipe = _merge(reader, root, keys, parent)
    if reader.problems:
        raise errors.RecipeError(reader.problems)
    return recipe


def _merge(reader: _Reader, root: yaml.Node, keys: Mapping[str, yaml.Node], parent: Recipe | None) -> Recipe:
    for needed in ("name", "description") if parent else ("name", "description", "releases", "disk"):
        if needed not in keys:
            reader.problem(root, f"the recipe needs {needed!r}")
    old = parent or Recipe(name="", description="", releases=(), size_gib=1, max_blocks=1)

    def texts(key: str, pattern: re.Pattern[str] | None = None) -> tuple[str, ...]:
        return reader.texts(keys[key], key, pattern) if key in keys else ()

    disk = reader.mapping(keys["disk"], "disk", ("size_gib", "max_blocks")) if "disk" in keys else {}
    units = reader.mapping(keys["units"], "units", ("enable", "mask")) if "units" in keys else {}
    python = reader.mapping(keys["python"], "python", ("venv", "requirements")) if "python" in keys else {}
    releases = reader.releases(keys["releases"]) if "releases" in keys else old.releases
    files = reader.items(keys["files"], "files", reader.file) if "files" in keys else ()
    own = {each.path for each in files}
    if len(own) < len(files):
        reader.problem(keys["files"], "two files have the same path: remove one")
    return Recipe(
        name=reader.text(keys["name"], "name", _NAME) if "name" in keys else "",
        description=reader.text(keys["description"], "description") if "description" in keys else "",
        releases=releases,
        size_gib=reader.number(disk["size_gib"], "size_gib", 1, 1024) if "size_gib" in disk else old.size_gib,
        max_blocks=reader.number(disk["max_blocks"], "max_blocks", 1, 2**21)
        if "max_blocks" in disk
        else old.max_blocks,
        packages=(*old.packages, *texts("packages", _PACKAGE)),
        exclude=(*old.exclude, *texts("exclude")),
        keep=(*old.keep, *texts("keep")),
        files=(*(each for each in old.files if each.path not in own), *files),
        enable=(*old.enable, *(reader.texts(units["enable"], "enable", _UNIT) if "enable" in units else ())),
        mask=(*old.mask, *(reader.texts(units["mask"], "mask", _UNIT) if "mask" in units else ())),
        venv=reader.text(python["venv"], "venv") if "venv" in python else old.venv,
        requirements=(
            *old.requirements,
            *(reader.texts(python["requirements"], "requirements") if "requirements" in python else ()),
        ),
        commands=(*old.commands, *texts("commands")),
        tests=(*old.tests, *(reader.items(keys["tests"], "tests", reader.test) if "tests" in keys else ())),
    )
