"""The command: bad input gives one message, exit code 64, and nothing half done."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from simpleflow.cli import sfnodes
from simpleflow.core import errors as core_errors
from simpleflow.nodes import clusters, lifeline


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "my project"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setenv("SIMPLEFLOW_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("SIMPLEFLOW_RUNTIME_DIR", str(tmp_path / "run"))
    return folder


def run(*arguments: str) -> Result:
    return CliRunner().invoke(sfnodes.cli, list(arguments))


def test_init_writes_a_file_that_validates_and_leaves_one_that_exists_alone(home: Path) -> None:
    assert json.loads(run("init", "--json").stdout) == {"cluster": "my-project", "written": "cluster.yaml"}
    assert run("validate").exit_code == 0
    before = (home / "cluster.yaml").read_text()
    again = run("init")
    assert (again.exit_code, (home / "cluster.yaml").read_text()) == (64, before)
    assert "exists already" in again.stderr


def test_validate_shows_every_problem_once_and_stops_there(home: Path) -> None:
    (home / "c.yaml").write_text("cluster: x\nprofiles: {a: {}, b: {}}\ntask_lists: {l: {profile: c, max: 1}}\n")
    done = run("up", "c.yaml")
    assert done.exit_code == 64
    assert done.stderr.splitlines() == [
        "c.yaml:2: no task list uses profile 'a'; name it in one (task_lists.LIST.profile: a) or remove it",
        "c.yaml:2: no task list uses profile 'b'; name it in one (task_lists.LIST.profile: b) or remove it",
        "c.yaml:3: task list 'l' names profile 'c', which does not exist; add it below 'profiles'",
    ]
    assert not (home.parent / "data").exists()


def test_down_without_up_and_up_of_a_cluster_that_is_up(home: Path) -> None:
    run("init")
    down = run("down")
    assert (down.exit_code, down.stderr) == (64, "cluster 'my-project' is not up: there is nothing to take down\n")
    line = lifeline.Lifeline(clusters.load("cluster.yaml").paths.lifeline)
    try:
        up = run("up")
        assert up.exit_code == 64
        assert "is already up" in up.stderr
    finally:
        line.release()


def test_a_missing_file_and_a_cluster_without_a_stack(home: Path) -> None:
    assert "sfnodes init" in run("status", "nowhere.yaml").stderr
    run("init")
    assert "has no stack" in run("template").stderr


def test_the_schema_is_json(home: Path) -> None:
    assert json.loads(run("validate", "--schema").stdout)["title"] == "simpleflow cluster file"


def test_a_bundle_is_written_once_and_records_its_version(home: Path) -> None:
    assert run("init", "--bundle", "own").exit_code == 0
    assert (home / "own" / "infra" / "__init__.py").exists()
    assert (home / "own" / "simpleflow-version").read_text().strip()
    assert run("init", "--bundle", "own").exit_code == 64


def test_logs_of_an_unknown_node_name_the_known(home: Path) -> None:
    run("init")
    with pytest.raises(core_errors.UsageError, match="known: none"):
        clusters.load("cluster.yaml").logs("n-1")


@pytest.mark.parametrize(
    ("folder", "name"), [("My Project", "my-project"), ("9lives", "c-9lives"), ("x" * 40, "x" * 31), ("é", "c")]
)
def test_names_made_from_folders_are_names(folder: str, name: str) -> None:
    assert sfnodes._name_of(folder) == name
