"""Every code block of README and docs/ is run, or is checked as far as it goes without a machine or an account."""

from __future__ import annotations

import contextlib
import inspect
import json
import re
import shlex
import subprocess
import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

from simpleflow.ami import recipe
from simpleflow.cli import main as simpleflow_cli
from simpleflow.cli import sfnodes as sfnodes_cli
from simpleflow.nodes import config
from simpleflow.testing import Environment
from tests.docs import blocks

PAGES = [page for page in blocks.pages() if page.exists()]
SHELL = {"console", "sh", "bash"}
#: languages that are shown, not run
SHOWN = {"", "http", "mermaid", "text"}
CLIS: dict[str, click.Group] = {"simpleflow": simpleflow_cli.cli, "sfnodes": sfnodes_cli.cli}
TARGETS = set(re.findall(r"^([a-z-]+):", (blocks.ROOT / "Makefile").read_text(), re.M))


def of_language(*languages: str) -> list[Any]:
    found = [block for page in PAGES for block in blocks.blocks(page) if block.language in languages]
    return [pytest.param(block, id=str(block)) for block in found]


def test_every_block_names_a_language_that_is_checked() -> None:
    known = {"python", "json", "yaml"} | SHELL | SHOWN
    odd = [str(block) for page in PAGES for block in blocks.blocks(page) if block.language not in known]
    assert not odd, f"name the language of these blocks ({', '.join(sorted(known))}): {odd}"


@pytest.mark.parametrize(
    "page", [p for p in PAGES if any(b.language == "python" for b in blocks.blocks(p))], ids=lambda p: p.name
)
def test_python_runs(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, embedded_dirs: Path) -> None:
    """The blocks of a page are one program, in order; its test functions are run after all of it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    for source in (blocks.ROOT / "docs/quickstart.md", page):
        for block in blocks.blocks(source):
            if block.file:
                (tmp_path / block.file).write_text(block.text)
    # As a module that can be imported: dataclasses, deciders and workers look modules up by their name.
    made = types.ModuleType(f"docs_{page.stem.replace('-', '_')}")
    made.__file__ = str(tmp_path / "page.py")
    monkeypatch.setitem(sys.modules, made.__name__, made)
    program = made.__dict__
    with beside(page):
        for block in blocks.blocks(page):
            if block.language == "python" and block.runs:
                exec(compile("\n" * block.line + block.text, str(page), "exec"), program)
    for name, function in list(program.items()):
        if name.startswith("test_"):
            run_test(function)


@contextlib.contextmanager
def beside(page: Path) -> Iterator[None]:
    """What runs beside the page's program: ``<!-- beside: COMMAND -->``."""
    commands = re.findall(r"^<!-- beside: (.+) -->$", page.read_text(), re.M)
    running = [subprocess.Popen([sys.executable, "-m", "simpleflow", *c.split()[1:]]) for c in commands]
    try:
        yield
    finally:
        for each in running:
            each.terminate()
        for each in running:
            assert each.wait(60) == 0


def run_test(function: Any) -> None:
    """Run a test function of a page, with the fixture that it asks for."""
    asked = inspect.signature(function).parameters
    assert set(asked) <= {"environment"}, f"{function.__name__} asks for fixtures that pages do not have"
    if not asked:
        function()
        return
    with Environment() as environment:
        function(environment)
        environment.verify()


def words_of(command: str) -> list[str]:
    """The words of a command, without its comment, its variables and the ampersand that puts it into the background."""
    words = shlex.split(command, comments=True)
    while words and (words[0] == "sudo" or re.fullmatch(r"[A-Z_]+=.*", words[0])):
        words.pop(0)
    return [word for word in words if word != "&"]


def parse(group: click.Group, program: str, words: list[str]) -> None:
    """Read a command line as the program does. Raises click.UsageError."""
    with click.Context(group, info_name=program) as context:
        name, command, rest = group.resolve_command(context, words)
        assert command is not None
        command.make_parser(click.Context(command, parent=context, info_name=name)).parse_args(args=rest)


def check(command: str) -> str:
    """Say what is wrong with a command of ours; nothing of it is run."""
    for part in re.split(r"&&|\|\||;", command):
        words = words_of(part)
        if not words:
            continue
        program, *rest = words
        if program in CLIS:
            try:
                parse(CLIS[program], program, rest)
            except click.UsageError as error:
                return f"{program}: {error.format_message()}"
        elif program == "make":
            unknown = [word for word in rest if "=" not in word and word not in TARGETS]
            if unknown:
                return f"the Makefile has no target {unknown}"
        elif program.startswith("scripts/") and not (blocks.ROOT / program).exists():
            return f"there is no {program}"
    return ""


@pytest.mark.parametrize("block", of_language(*SHELL))
def test_commands_exist(block: blocks.Block) -> None:
    wrong = [f"{command}: {words}" for command, _ in block.commands() if (words := check(command))]
    assert not wrong, "\n".join(wrong)


def test_a_wrong_command_is_noticed() -> None:
    assert "No such command" in check("simpleflow workflow.begin x")
    assert "No such option" in check("sfnodes up --nothing")
    assert check("make nothing")
    assert not check("simpleflow workflow.start shop.Order --local -i '[1]' && sfnodes down &")


@pytest.mark.parametrize("block", of_language("json"))
def test_json_is_json(block: blocks.Block) -> None:
    for document in re.split(r"\n(?=\{)", block.text.strip()):
        json.loads(document)


@pytest.mark.parametrize("block", of_language("yaml"))
def test_yaml_is_what_it_says(block: blocks.Block, tmp_path: Path) -> None:
    keys = set(yaml.safe_load(block.text))
    if "cluster" in keys:
        config.loads(block.text)
    elif "extends" in keys:
        (tmp_path / "recipe.yaml").write_text(block.text)
        recipe.load(tmp_path / "recipe.yaml")
    else:
        assert keys <= known_keys(), f"a cluster file has no {keys - known_keys()}"


def known_keys() -> set[str]:
    """The keys of a cluster file, and of its task lists."""
    return {*config.ClusterConfig.__struct_fields__, "quickstart"}
