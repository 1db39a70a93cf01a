"""Every example in a docstring is run, with what it takes for granted made here."""

from __future__ import annotations

import ast
import sys
import textwrap
import types
from pathlib import Path

import pytest

from tests.docs import blocks

#: examples that are not run, with the reason
SHOWN = {
    "server.requests.auth": "a credentials file; tests/unit/server/http/test_sigv4.py writes such files",
    "data.converter": "a table",
    "client.client": "tests/docs runs docs/how-to/clients.md, which shows the same",
    "download": "a binary on S3; tests/unit/surface/test_download.py brings one",
    "metrology": "steps over data of its reader; tests/unit/surface/test_metrology.py has steps",
    "execute": "programs that this machine may lack; tests/unit/surface/test_programs.py runs some",
    "runtime.standalone": "processes; tests/unit/runtime/test_standalone.py runs a Group",
    "testing.rehearsal.play": "a rehearsal of half a minute; tests/unit/testing/cloud/test_rehearse.py runs one",
}
_RENDER = """
from simpleflow import Workflow, activity, futures
@activity.with_attributes(task_list="render", retry=2, raises_on_failure=True)
def render(scene: str, frame: int) -> str:
    return f"{scene} {frame}"
"""
_NIGHTLY = """
from simpleflow import Workflow, activity
from simpleflow.testing import *
DAY = 86_400
@activity.with_attributes(name="jobs.fetch", task_list="work")
def fetch(number):
    return [number]
class Nightly(Workflow):
    name, version, task_list, execution_timeout = "nightly", "1", "nightly", 60 * DAY
    def run(self, number):
        self.submit(fetch, number).result
        self.submit(self.start_timer("month", 30 * DAY)).result
        return "gave up"
"""
#: module -> what its example takes for granted, and what is checked after it
AROUND = {
    "activity": ("from simpleflow import activity", "assert render.task_list == 'render'"),
    "workflow": (
        _RENDER,
        (
            "from simpleflow.testing import Environment\n"
            "with Environment() as environment: assert environment.run(Render, 'sea', 2) == ['sea 0', 'sea 1']"
        ),
    ),
    "testing": ("from shop import Order", ""),
    "testing.cloud.cloud": ("from simpleflow.testing import Cloud", ""),
    "testing.environment": (_NIGHTLY, "test_it_gives_up_after_a_month()"),
    "testing.histories.builder": (
        _NIGHTLY + "from simpleflow.data.converter import Converter\n"
        "from simpleflow.engine import Engine\n"
        "engine = Engine([Nightly], payloads=Converter())",
        "assert type(decided.decisions[0]).__name__ == 'StartTimer'; engine.close()",
    ),
    "testing.replaying.replay": (
        _NIGHTLY + "from pathlib import Path\n"
        "with Environment() as environment:\n"
        "    run = environment.start(Nightly, 3); environment.settle(); events = environment.history(run)\n"
        "    Path('tests/histories').mkdir(parents=True); environment.dump(run, 'tests/histories/open.json')",
        "test_old_histories_still_replay()",
    ),
}


def examples() -> dict[str, str]:
    """Module -> the indented code of its docstrings."""
    found: dict[str, str] = {}
    for path in sorted((blocks.ROOT / "simpleflow").rglob("*.py")):
        parts = path.relative_to(blocks.ROOT / "simpleflow").with_suffix("").parts
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                code = code_of(ast.get_docstring(node, clean=not isinstance(node, ast.Module)) or "")
                if code:
                    found[".".join(p for p in parts if p != "__init__")] = code
    return found


def code_of(docstring: str) -> str:
    """The indented lines that follow an empty one."""
    taken: list[str] = []
    inside, before = False, "text"
    for line in docstring.splitlines():
        inside = (line.startswith("    ") and (inside or not before.strip())) or (inside and not line.strip())
        if inside:
            taken.append(line)
        before = line
    return textwrap.dedent("\n".join(taken)).strip()


EXAMPLES = examples()


def test_every_example_is_known() -> None:
    assert not EXAMPLES.keys() - SHOWN.keys() - AROUND.keys(), "say in AROUND what these examples take for granted"
    assert not (SHOWN.keys() | AROUND.keys()) - EXAMPLES.keys(), "these have no example any more"


@pytest.mark.parametrize("module", AROUND)
def test_example_runs(module: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    for block in blocks.blocks(blocks.ROOT / "docs/quickstart.md"):
        if block.file:
            (tmp_path / block.file).write_text(block.text)
    # As a module that can be imported: deciders and workers find classes and activities by their module's name.
    program = types.ModuleType(f"docstring_of_{module.replace('.', '_')}")
    monkeypatch.setitem(sys.modules, program.__name__, program)
    before, after = AROUND[module]
    for text in (before, EXAMPLES[module], after):
        exec(compile(text, module, "exec"), program.__dict__)
