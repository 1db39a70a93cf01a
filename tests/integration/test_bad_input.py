"""Bad input: one clear message, a non-zero exit, nothing half done."""

from __future__ import annotations

import json
import socket
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from place_rig import Place

pytestmark = pytest.mark.needs_processes
FLOWS = "integration_flows"


def refused(place: Place, *argv: str | bytes, code: int, words: tuple[str, ...], traceback: bool = False) -> str:
    """Run a command that must fail with one message that holds these words; return stderr.

    ``traceback``: that of the user's own program is shown.
    """
    ended = place.run(*argv, timeout=300)
    assert ended.returncode == code, f"{ended.returncode}\n{ended.stdout}\n{ended.stderr}\n{place.logs()}"
    assert ("Traceback (most recent call last)" in ended.stderr) == traceback
    for word in words:
        assert word in ended.stderr, ended.stderr
    return ended.stderr


@pytest.mark.parametrize("command", ["workflow.start", "standalone"])
@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["no.such.module.Workflow"], ("no.such.module.Workflow", "package.module.ClassName")),
        ([f"{FLOWS}.NoSuchClass"], ("NoSuchClass",)),
        ([f"{FLOWS}.double"], ("not a subclass of simpleflow.Workflow",)),
        ([f"{FLOWS}.Nameless"], ("Nameless", 'write in the class name = "nameless"')),
        ([f"{FLOWS}.Doubles", "-i", b'["\xff"]'], ("UTF-8", "xff")),
        ([f"{FLOWS}.Doubles", "-i", "[1"], ("--input", "JSON")),
        ([f"{FLOWS}.Doubles", "--tags", "a,b,c,d,e,f"], ("6 tags", "5")),
        ([f"{FLOWS}.Doubles", "-i", '{"count": 3}'], ('"kwargs"', "count")),
        ([f"{FLOWS}.Doubles", "--input-file", "missing.json"], ("missing.json",)),
    ],
)
def test_what_cannot_be_started_starts_nothing(
    place: Place, command: str, argv: list[str | bytes], words: tuple[str, ...]
) -> None:
    refused(place, command, *argv, code=64, words=words)
    assert not (place.folder / "data").exists(), "a service was started for nothing"


def test_arguments_and_results_that_cannot_be_serialised_fail_the_workflow(place: Place) -> None:
    argv = ("standalone", f"{FLOWS}.BadArguments", "-W", "1")
    said = refused(place, *argv, code=1, words=("args[0]", "object", "submit(double"), traceback=True)
    assert "strands.py" not in said, "what its author cannot mend is not shown"
    argv = ("standalone", f"{FLOWS}.Unserialisable", "-W", "1")
    refused(place, *argv, code=1, words=("nothing_serialisable", "no JSON form"))


def test_what_excludes_each_other_is_refused(place: Place) -> None:
    argv = ("workflow.start", f"{FLOWS}.Doubles", "--local", "--cluster", "cluster.yaml")
    refused(place, *argv, code=64, words=("--local", "--cluster"))
    argv = ("workflow.filter", "--from-date", "2026-01-02", "--to-date", "2026-01-01")
    refused(place, *argv, code=64, words=("--to-date 2026-01-01", "--from-date 2026-01-02"))
    assert not (place.folder / "data").exists()


def test_a_worker_that_imports_a_broken_module_takes_no_task(place: Place) -> None:
    Path(place.folder, "broken_on_import.py").write_text("raise RuntimeError('no licence')\n")
    refused(place, "worker.start", "--modules", "broken_on_import", code=64, words=("broken_on_import", "no licence"))
    refused(place, "decider.start", "broken_on_import.W", code=64, words=("broken_on_import.W", "no licence"))
    refused(
        place,
        "worker.start",
        "--middleware-pre-execution",
        "nowhere.f",
        code=64,
        words=("--middleware-pre-execution", "nowhere.f"),
    )
    assert not (place.folder / "data").exists()


def test_a_module_that_breaks_is_named_with_its_line(place: Place) -> None:
    Path(place.folder, "breaks.py").write_text("import sys\n\nsys.exit(0)\n")
    Path(place.folder, "lacks.py").write_text("\nimport no_such_thing\n")
    Path(place.folder, "misspelt.py").write_text("def f(:\n")
    for name, words in (("breaks", "breaks.py:3"), ("lacks", "lacks.py:2"), ("misspelt", "misspelt.py:1")):
        said = refused(place, "workflow.start", f"{name}.Some", code=64, words=(f"{name}.Some", f"mend {place.folder}"))
        assert words in said
        assert "PYTHONPATH" not in said


@pytest.mark.parametrize("variable", ["SIMPLEFLOW_DATA_DIR", "SIMPLEFLOW_RUNTIME_DIR"])
def test_a_folder_that_cannot_be_made_is_named_with_the_variable(place: Place, variable: str) -> None:
    Path(place.folder, "file").write_text("")
    place.env[variable] = str(place.folder / "file" / "below")
    refused(place, "standalone", f"{FLOWS}.Doubles", code=1, words=("file/below", variable))


def test_an_argument_in_utf8_is_read_in_a_locale_without_it(place: Place) -> None:
    place.env |= {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    assert json.loads(place.ok("workflow.start", f"{FLOWS}.Echoes", "--local", "-i", '["ö😀"]')) == "ö😀"


@pytest.mark.parametrize("closed", ["2>&-", ">&- 2>&-"])
def test_standalone_ends_what_it_started_also_when_nobody_listens(place: Place, closed: str) -> None:
    command = f"{sys.executable} -m simpleflow standalone {FLOWS}.Doubles --workflow-id d -W 1 {closed}"
    subprocess.run(["sh", "-c", command], env=place.env, cwd=place.folder, timeout=300, check=True)
    assert json.loads(place.ok("workflow.info", "d", "--format", "json"))["status"] == "COMPLETED"


def test_standalone_whose_reader_went_leaves_nothing_open(place: Place) -> None:
    command = f"{sys.executable} -m simpleflow standalone {FLOWS}.Naps -W 1 2>&1 >/dev/null | true"
    subprocess.run(["sh", "-c", command], env=place.env, cwd=place.folder, timeout=300, check=True)
    assert place.ok("workflow.list", "--status", "open") == ""


@pytest.mark.parametrize("program", ["simpleflow", "simpleflow.cli.sfnodes"])
def test_a_full_disk_is_told_without_a_traceback(place: Place, program: str) -> None:
    argv = ["info"] if program == "simpleflow" else ["validate", "--schema"]
    with open("/dev/full", "w") as full:
        ended = subprocess.run(
            [sys.executable, "-m", program, *argv], stdout=full, stderr=subprocess.PIPE, env=place.env, timeout=300
        )
    assert ended.returncode == 1
    assert ended.stderr == b"Error: No space left on device\n"


def test_a_wrong_option_of_sfnodes_is_usage(place: Place) -> None:
    for argv in (["nope"], ["up", "--nope"], ["init", "."], ["logs", "--lines", "0"]):
        ended = subprocess.run(
            [sys.executable, "-m", "simpleflow.cli.sfnodes", *argv], capture_output=True, env=place.env,
            cwd=place.folder, timeout=300,
        )  # fmt: skip
        assert ended.returncode == 64, (argv, ended.stderr)
        assert b"Traceback" not in ended.stderr


def test_a_decider_is_not_started_on_a_list_that_none_of_its_workflows_has(place: Place) -> None:
    argv = ("decider.start", f"{FLOWS}.Doubles", "author_flows.Everything")
    refused(place, *argv, code=64, words=("author-decisions, decisions", "--task-list"))
    assert not (place.folder / "data").exists()


def test_a_provider_that_is_not_installed_is_no_good_cluster_file(place: Place) -> None:
    text = "cluster: c\nprovider: proces\nprofiles: {p: {}}\ntask_lists: {l: {profile: p, max: 1}}\n"
    Path(place.folder, "c.yaml").write_text(text)
    ended = subprocess.run(
        [sys.executable, "-m", "simpleflow.cli.sfnodes", "validate", "c.yaml"], capture_output=True, text=True,
        env=place.env, cwd=place.folder, timeout=300,
    )  # fmt: skip
    assert ended.returncode == 64
    assert ended.stderr.startswith("c.yaml:2: provider 'proces' is not installed; write provider: process")


def test_a_port_in_use_is_named(place: Place) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        for detach in ([], ["--detach"]):
            refused(place, "server.start", "--port", port, *detach, code=1, words=(port, "in use"))
    assert place.run("server.status").returncode == 1


def test_a_database_of_a_newer_version_is_left_alone(place: Place) -> None:
    place.ok("server.start", "--detach")
    place.ok("server.stop")
    (path,) = (place.folder / "data").glob("*.db")
    with sqlite3.connect(path) as database:
        tables = [name for (name,) in database.execute("select name from sqlite_master where type='table'")]
        (version,) = database.execute("pragma user_version").fetchone()
        assert version > 0, tables
        database.execute(f"pragma user_version={version + 1}")
    database.close()
    before = path.read_bytes()
    for argv in (["server.start"], ["workflow.start", f"{FLOWS}.Doubles"]):
        refused(place, *argv, code=1, words=("newer", path.name))
    assert path.read_bytes() == before


def test_an_unknown_execution_is_an_error_of_every_command(place: Place) -> None:
    for command in ("workflow.info", "workflow.wait", "workflow.result", "workflow.terminate", "workflow.tasks"):
        refused(place, command, "nobody", code=1, words=("nobody", "workflow.list"))


def test_an_open_workflow_id_is_not_started_twice(place: Place) -> None:
    place.ok("workflow.start", f"{FLOWS}.Waits", "--workflow-id", "w")
    refused(place, "workflow.start", f"{FLOWS}.Waits", "--workflow-id", "w", code=1, words=("'w' is open",))


def test_amazon_without_credentials_names_the_embedded_service(place: Place) -> None:
    place.env |= {"AWS_DEFAULT_REGION": "eu-west-1", "AWS_EC2_METADATA_DISABLED": "true", "HOME": str(place.folder)}
    argv = ("workflow.start", f"{FLOWS}.Doubles", "-d", "prod")
    refused(place, *argv, code=1, words=("credentials", "--backend embedded"))
