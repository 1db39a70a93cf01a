"""The command: bad input gives one message, exit code 64, and nothing half done."""

from __future__ import annotations

import json
import re
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner, Result

from simpleflow.cli import sfnodes
from simpleflow.core import documents
from simpleflow.core import errors as core_errors
from simpleflow.nodes import stores
from simpleflow.nodes.cluster import cluster, supervisor
from simpleflow.nodes.policy import decide
from simpleflow.process import lock_lifeline


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


BAD = "cluster: x\nprofiles: {a: {}}\ntask_lists: {l: {profile: a, max: 1, slot: 2}}\n"
COMMANDS = ["validate", "plan", "template", "up", "status", "down", "logs", "manager"]


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_names_the_line_of_a_typo_and_does_nothing(home: Path, command: str) -> None:
    (home / "c.yaml").write_text(BAD)
    done = run(command, "c.yaml")
    assert done.exit_code == 64
    assert done.stderr == "c.yaml:3: unknown key 'task_lists.l.slot'; did you mean 'slots'?\n"
    assert (done.stdout, sorted(home.parent.rglob("*"))) == ("", [home, home / "c.yaml"])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("provider: teleport", "provider 'teleport' is not installed; write provider: process, ec2 or ssh"),
        ("code: {path: nowhere}", "code.path 'nowhere' is not a folder"),
    ],
)
def test_up_refuses_what_is_not_on_this_machine_before_anything_starts(home: Path, change: str, said: str) -> None:
    run("init")
    text = (home / "cluster.yaml").read_text()
    key = change.partition(":")[0]
    lines = [line for line in text.splitlines() if not line.startswith(f"{key}:")]
    (home / "cluster.yaml").write_text("\n".join([*lines, change, ""]))
    done = run("up")
    assert done.exit_code == 64
    assert said in done.stderr
    assert not (home.parent / "data").exists()


def test_the_json_of_commands_that_only_look(home: Path) -> None:
    run("init", "--name", "demo")
    config = json.loads(run("validate", "--json").stdout)
    assert set(config) == {"cluster", "valid", "config"}
    assert json.loads(run("logs", "--json").stdout) == {}
    status = json.loads(run("status", "--json").stdout)
    assert tuple(status) == cluster.Status.__struct_fields__
    assert status["demand"] == {"heavy": {"foreseen": 0, "scheduled": 0}, "light": {"foreseen": 0, "scheduled": 0}}
    plan = json.loads(run("plan", "--json").stdout)
    assert (plan["cluster"], tuple(plan["nodes"])) == ("demo", decide.Plan.__struct_fields__)
    assert not (home.parent / "data").exists(), "looking makes nothing"


def test_down_without_up_and_up_of_a_cluster_that_is_up(home: Path) -> None:
    run("init")
    down = run("down")
    assert (down.exit_code, down.stdout) == (0, "cluster 'my-project' is not up: there is nothing to take down\n")
    line = lock_lifeline.Lifeline(cluster.load("cluster.yaml").paths.lifeline)
    try:
        up = run("up")
        assert up.exit_code == 64
        assert "is already up" in up.stderr
    finally:
        line.release()


def test_up_without_the_coordinator_that_the_file_names_starts_nothing(home: Path) -> None:
    run("init")
    with (home / "cluster.yaml").open("a") as file:
        file.write("endpoint: http://127.0.0.1:9\n")
    done = run("up")
    assert (done.exit_code, done.stdout) == (1, "")
    assert "nobody answers at http://127.0.0.1:9" in done.stderr
    assert not (home.parent / "data").exists()


def test_the_data_of_a_cluster_that_is_down_can_still_be_purged(home: Path) -> None:
    run("init")
    assert "there is nothing to take down" in run("down", "--purge").stdout
    target = cluster.load("cluster.yaml")
    store = stores.open_store(target.paths.store)
    store.put(documents.CONTROL_KEY, msgspec.json.encode(documents.Control(cluster="my-project")))
    purged = run("down", "--purge", "--json")
    assert (purged.exit_code, json.loads(purged.stdout)) == (0, {"cluster": "my-project", "down": True})
    assert (store.get(documents.CONTROL_KEY), target.paths.folder.exists()) == (None, False)


def test_up_of_a_cluster_whose_breaker_is_open_resumes_it(home: Path) -> None:
    run("init")
    target = cluster.load("cluster.yaml")
    line = lock_lifeline.Lifeline(target.paths.lifeline)
    failure = documents.Failures(profile="small", image="", count=3, last_log="no such module")
    store = stores.open_store(target.paths.store)
    control = documents.Control(cluster="my-project", failures=(failure,))
    store.put(documents.CONTROL_KEY, msgspec.json.encode(control))
    started = supervisor.Up(
        pid=1,
        started=0.0,
        **dict.fromkeys(("cluster", "path", "domain", "task_list", "endpoint", "store", "folder"), "x"),
    )
    target.paths.up.write_bytes(msgspec.json.encode(started))
    try:
        shown = run("status", "--text").stdout
        assert "3 machines booted and never worked\nno such module" in shown
        assert "note: 3 machines of profile 'small' in a row booted and never worked" in shown
        up = run("up")
        assert (up.exit_code, target.paths.resume.exists()) == (0, True)
        assert "it launches on" in up.stdout
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


def test_a_cluster_without_logs_says_so(home: Path) -> None:
    run("init")
    assert run("logs").stdout == "cluster 'my-project' has no logs here yet: `sfnodes up cluster.yaml` begins them\n"
    assert json.loads(run("logs", "--json").stdout) is not None


def test_logs_of_an_unknown_node_name_the_known(home: Path) -> None:
    run("init")
    with pytest.raises(core_errors.UsageError, match="known: none"):
        cluster.load("cluster.yaml").logs("n-1")


@pytest.mark.parametrize(
    ("folder", "name"), [("My Project", "my-project"), ("9lives", "c-9lives"), ("x" * 40, "x" * 31), ("é", "c")]
)
def test_names_made_from_folders_are_names(folder: str, name: str) -> None:
    assert sfnodes._name_of(folder) == name


def test_every_command_is_in_the_reference_and_says_what_it_does() -> None:
    page = (Path(__file__).parents[3] / "docs" / "reference" / "sfnodes.md").read_text()
    rows = re.findall(r"^\| `(\w+)", page, re.MULTILINE)
    shown = [name for name, each in sfnodes.cli.commands.items() if not each.hidden]
    assert sorted(rows) == sorted(shown)
    assert all(sfnodes.cli.commands[name].help for name in shown)
