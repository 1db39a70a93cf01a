"""``--modules``: what counts is where a callable is defined, for workers and deciders alike."""

from __future__ import annotations

import functools
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from simpleflow import activity, dispatch, registry
from simpleflow.core import errors
from simpleflow.data import converter
from simpleflow.dispatch import limits
from simpleflow.engine import Engine
from simpleflow.nodes import config
from simpleflow.nodes.manager import manager
from simpleflow.runtime import standalone
from simpleflow.testing.histories import builder

FILES = {
    "outside.py": """
import functools, os
from simpleflow import Workflow, activity
def decorate(function):
    @functools.wraps(function)
    def inside(*args): return function(*args)
    return inside
def bare(function):
    def inside(*args): return function(*args)
    return inside
def helper(): return "helper"
helper_as_allowed = lambda: "assigned"
class Runner:
    def __call__(self): return "called"
class Base:
    def execute(self): return "inherited"
    @staticmethod
    def run(): return "static"
class Flow(Workflow):
    name, version = "outside", "1"
    def run(self): return 1
@activity.with_attributes(name="outside-activity")
def declared(): return "declared"
""",
    "allowed/__init__.py": """
import functools, os, subprocess
import outside
from os import system
from pathlib import Path
from outside import Base, Flow as Foreign, Runner, declared, helper, helper_as_allowed
from simpleflow import Workflow, activity
helper_as_allowed.__module__ = "allowed"
helper_as_allowed.__qualname__ = "helper_as_allowed"
def plain(): return "plain"
def double(x): return 2 * x
four = functools.partial(double, 2)
shell = functools.partial(os.system)
twice = functools.partial(functools.partial(subprocess.run), ["true"])
cached = functools.lru_cache(plain)
cached_shell = functools.lru_cache(os.system)
@outside.decorate
def decorated(): return "decorated"
@outside.bare
def bare(): return "bare"
foreign_decorated = outside.decorate(helper)
@functools.wraps(os.system)
def renamed(): return "renamed"
outside_call = Runner()
class Own:
    def __call__(self): return "own"
    run = os.system
    kept = staticmethod(helper)
    path = Path
    def execute(self): return "executed"
    @staticmethod
    def static(): return "static"
    @classmethod
    def of(cls): return "class"
    class Inner:
        @staticmethod
        def deep(): return "deep"
own_call = Own()
class Sub(Base): pass
class Flow(Workflow):
    name, version = "inside", "1"
    def run(self): return 1
number = 7
@activity.with_attributes(name="own-name")
def named(): return "named"
wrapped_shell = activity.Activity(os.system, "shell-by-name")
wrapped_partial = activity.Activity(shell, "partial-by-name")
""",
    "allowed/sub.py": "import os\nfrom outside import helper\ndef below(): return 'below'\n",
    "allowed/deeper/__init__.py": "def deepest(): return 'deepest'\n",
    "allowed/__main__.py": "import sys\nsys.modules['allowed'].ran = True\ndef main(): return 'main'\n",
    "allowed_evil.py": "def run(): return 'evil'\n",
}


@pytest.fixture(scope="module", autouse=True)
def modules(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    folder = tmp_path_factory.mktemp("modules")
    for name, text in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    before, known = set(sys.modules), dict(registry.registry[None])
    sys.path.insert(0, str(folder))
    yield
    sys.path.remove(str(folder))
    for name in set(sys.modules) - before:
        if name.split(".")[0] in ("allowed", "outside", "allowed_evil"):
            del sys.modules[name]
    registry.registry[None].clear()
    registry.registry[None].update(known)


@pytest.mark.parametrize(
    ("name", "arguments", "result"),
    [
        ("allowed.plain", (), "plain"),
        ("allowed.four", (), 4),
        ("allowed.cached", (), "plain"),
        ("allowed.decorated", (), "decorated"),
        ("allowed.own_call", (), "own"),
        ("allowed.Own.static", (), "static"),
        ("allowed.Own.of", (), "class"),
        ("allowed.Own.Inner.deep", (), "deep"),
        ("allowed.Own", (), "executed"),
        ("allowed.Sub", (), "inherited"),
        ("allowed.sub.below", (), "below"),
        ("allowed.deeper.deepest", (), "deepest"),
        ("own-name", (), "named"),
    ],
)
def test_what_is_defined_below_the_prefix_runs(name: str, arguments: tuple[Any, ...], result: Any) -> None:
    assert dispatch.Dispatcher(["allowed"]).dispatch_activity(name)(*arguments) == result


@pytest.mark.parametrize(
    "name",
    [
        "os.system",
        "allowed.os.system",
        "allowed.system",
        "allowed.activity.settings.base.os.system",
        "allowed.subprocess.run",
        "allowed.sub.os.system",
        "allowed.sub.helper",
        "allowed.helper",
        "allowed.helper_as_allowed",
        "allowed.declared",
        "allowed.Runner",
        "allowed.outside_call",
        "allowed.shell",
        "allowed.twice",
        "allowed.cached_shell",
        "allowed.bare",
        "allowed.foreign_decorated",
        "allowed.renamed",
        "allowed.wrapped_shell",
        "allowed.wrapped_partial",
        "allowed.Own.run",
        "allowed.Own.kept",
        "allowed.Own.path",
        "allowed.Sub.run",
        "allowed.Base.run",
        "allowed.Path.home",
        "allowed.own_call.execute",
        "allowed.Own.__base__",
        "allowed.plain.__globals__.get",
        "allowed.Own.__init__.__globals__",
        "allowed.outside",
        "allowed.number",
        "allowed",
        "allowed.",
        "allowed_evil.run",
        "outside.helper",
        "outside-activity",
        "shell-by-name",
        "partial-by-name",
        "builtins.eval",
    ],
)
def test_nothing_else_does(name: str) -> None:
    with pytest.raises(dispatch.DispatchError):
        dispatch.Dispatcher(["allowed"]).dispatch_activity(name)


def test_what_is_outside_is_not_even_imported() -> None:
    sys.modules.pop("allowed_evil", None)
    with pytest.raises(dispatch.DispatchError, match="outside --modules allowed: add its module there"):
        dispatch.Dispatcher(["allowed"]).dispatch_activity("allowed_evil.run")
    assert "allowed_evil" not in sys.modules


def test_a_program_does_not_run_by_being_named() -> None:
    with pytest.raises(dispatch.DispatchError, match="is a program"):
        dispatch.Dispatcher(["allowed"]).dispatch_activity("allowed.__main__.main")
    assert not hasattr(sys.modules.get("allowed"), "ran")
    assert dispatch.Dispatcher(["allowed.__main__"]).dispatch_activity("allowed.__main__.main")() == "main"


def test_the_message_names_where_it_is_defined() -> None:
    with pytest.raises(dispatch.DispatchError, match=r"'allowed.helper' is outside.helper, defined outside --modules"):
        dispatch.Dispatcher(["allowed"]).dispatch_activity("allowed.helper")
    assert dispatch.Dispatcher(["allowed", "outside"]).dispatch_activity("allowed.helper")() == "helper"


def test_a_prefix_may_be_a_submodule_or_a_class() -> None:
    assert dispatch.Dispatcher(["allowed.Own"]).dispatch_activity("allowed.Own.static")() == "static"
    for modules, name in (("allowed.Own", "allowed.plain"), ("allowed.sub", "allowed.deeper.deepest")):
        with pytest.raises(dispatch.DispatchError):
            dispatch.Dispatcher([modules]).dispatch_activity(name)


def test_without_a_limit_everything_importable_runs() -> None:
    assert dispatch.Dispatcher().dispatch_activity("allowed.helper")() == "helper"
    assert dispatch.Dispatcher().dispatch_activity("outside.Base.run")() == "static"


def test_wrappers_without_an_end_are_refused() -> None:
    def endless() -> None: ...

    endless.__wrapped__ = endless  # type: ignore[attr-defined]
    assert not limits.Limit([__name__]).holds(endless)
    partial: Any = activity.Activity(functools.partial(functools.partial(endless)), "endless")
    assert not limits.Limit([__name__]).holds(partial)


@pytest.mark.parametrize(
    ("path", "runs"),
    [
        ("allowed.Flow", True),
        ("allowed.Foreign", False),
        ("outside.Flow", False),
        ("allowed.outside.Flow", False),
        ("allowed.plain", False),
        ("allowed_evil.run", False),
    ],
)
def test_deciders_have_the_same_limit(path: str, runs: bool) -> None:
    engine = Engine(payloads=converter.Converter(), loader=limits.Limit(["allowed"]).workflow)
    built = builder.HistoryBuilder(None, {"args": [], "__extra": {"class": path}})
    task = built.begin_decision()
    if runs:
        assert engine.decide(task)
        return
    with pytest.raises(Exception, match="cannot be imported"):
        engine.decide(task)


def test_a_clusters_deciders_get_its_modules() -> None:
    text = "cluster: c\nprofiles: {p: {}}\ntask_lists: {l: {profile: p, max: 1}}\n"
    command = manager.decider_command(config.loads(f"{text}code: {{modules: [films, cuts]}}\n"), "")
    assert command[command.index("--modules") + 1] == "films,cuts"
    assert "--modules" not in manager.decider_command(config.loads(text), "")


def test_a_decider_whose_modules_cannot_be_imported_says_so_at_its_start() -> None:
    with pytest.raises(errors.UsageError, match="--modules 'not_there' cannot be imported"):
        standalone.run_decider(standalone.DeciderSpec(task_list="t", modules=("not_there",)))
