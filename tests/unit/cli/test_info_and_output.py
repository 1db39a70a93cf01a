from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest
from click.testing import CliRunner

from simpleflow import settings
from simpleflow.cli import context, info, main, output
from simpleflow.client import connect
from simpleflow.core import errors


def call(*argv: str) -> tuple[int, str]:
    result = CliRunner().invoke(main.cli, list(argv), standalone_mode=False)
    if result.exception is not None:
        raise result.exception
    return int(result.return_value or 0), result.output


@pytest.mark.parametrize("argv", [["--format", "json", "info", "versions"], ["info", "versions", "--format", "json"]])
def test_the_format_is_accepted_before_and_after_the_command(argv: list[str]) -> None:
    _, printed = call(*argv)
    assert {row["name"] for row in json.loads(printed)} >= {"simpleflow", "python", "boto3"}


def test_info_masks_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hush")
    monkeypatch.setenv("AWS_SESSION_TOKEN", "hush")
    monkeypatch.setenv("AWS_ENDPOINT_URL_SWF", "https://me:hush@example.invalid/")
    settings.reload()
    _, printed = call("info")
    settings.reload()
    assert "hush" not in printed
    assert "https://***@example.invalid/" in printed


def test_every_name_of_info_that_sounds_secret_is_masked() -> None:
    assert info.redact("MY_PASSWORD", "x") == "***"
    assert info.redact("SWF_DOMAIN", "x") == "x"


@pytest.mark.parametrize(
    ("state", "domain", "endpoint"),
    [
        (context.State(), "exported", "http://exported"),
        (context.State(backend="embedded"), "exported", None),
        (context.State(backend="swf"), "exported", "http://exported"),
        (context.State(endpoint_url="unix:///a"), "exported", "unix:///a"),
    ],
)
def test_what_a_shell_exports_is_used_unless_something_else_was_asked(
    state: context.State, domain: str, endpoint: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SWF_DOMAIN", "exported")
    monkeypatch.setenv("AWS_ENDPOINT_URL_SWF", "http://exported")
    asked: dict[str, Any] = {}
    monkeypatch.setattr(connect, "connect", lambda **given: asked.update(given))
    settings.reload()
    try:
        state.connect()
    finally:
        monkeypatch.undo()
        settings.reload()
    assert asked == {"domain": domain, "backend": state.backend, "endpoint_url": endpoint}


@pytest.mark.parametrize(
    ("named", "notice"),
    [
        (None, "No domain and no endpoint given: using the embedded service, domain 'default'."),
        ("films", "No endpoint given: using the embedded service, domain 'films'."),
    ],
)
def test_the_notice_names_the_domain_that_is_used(
    named: str | None, notice: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("SWF_DOMAIN", "AWS_ENDPOINT_URL_SWF"):
        monkeypatch.setattr(settings, name, None, raising=False)
    made = connect.Connection(transport=None, domain="default", endpoint_url="unix:///s")  # type: ignore[arg-type]
    monkeypatch.setattr(connect, "connect", lambda **given: made)
    assert context.State().connect(named=named) is made
    assert capsys.readouterr().err.strip() == notice


COLUMNS = ("id", "state")
ROWS = [("a-1", "open"), ("b,2", None)]


@pytest.mark.parametrize(
    ("kind", "header", "expected"),
    [
        ("csv", True, 'id,state\na-1,open\n"b,2",'),
        ("csv", False, 'a-1,open\n"b,2",'),
        ("tsv", False, "a-1\topen\nb,2\t"),
        ("tabular", True, "id   state\na-1  open\nb,2"),
        ("human", False, "id     a-1\nstate  open\n\nid     b,2\nstate"),
        ("json", False, '[{"id":"a-1","state":"open"},{"id":"b,2","state":null}]'),
    ],
)
def test_formats(kind: str, header: bool, expected: str) -> None:
    assert output.render(COLUMNS, ROWS, kind=kind, header=header) == expected


@pytest.mark.parametrize(
    ("words", "domain_first", "expected"),
    [
        (["wf"], True, (None, "wf", None)),
        (["dom", "wf"], True, ("dom", "wf", None)),
        (["wf", "run"], False, (None, "wf", "run")),
        (["dom", "wf", "run%3D"], True, ("dom", "wf", "run=")),
        (["dom", "wf", "run"], False, ("dom", "wf", "run")),
    ],
)
def test_positional_words(words: list[str], domain_first: bool, expected: tuple[Any, ...]) -> None:
    found = context.target(words, domain_first=domain_first)
    assert (found.domain, found.workflow_id, found.run_id) == expected


@pytest.mark.parametrize("words", [[], ["a", "b", "c", "d"]])
def test_too_few_or_too_many_words_say_what_to_write(words: list[str]) -> None:
    with pytest.raises(errors.UsageError, match="WORKFLOW_ID"):
        context.target(words, domain_first=True)


def run(*argv: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "simpleflow", *argv], capture_output=True, text=True, timeout=60)


@pytest.mark.needs_processes
@pytest.mark.parametrize(
    "argv",
    [
        ["no.such.command"],
        ["workflow"],
        ["workflow.start"],
        ["info", "nothing"],
        ["--format", "xml", "info"],
        ["decider.start", "-N", "0"],
        ["server.start", "--host", "0.0.0.0"],
        ["server.start", "--port", "9000", "--host", "0.0.0.0"],
    ],
)
def test_usage_errors_exit_64_with_one_message(argv: list[str]) -> None:
    ended = run(*argv)
    assert ended.returncode == 64
    assert ended.stdout == ""
    assert "Error" in ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.mark.needs_processes
def test_a_space_means_a_dot_and_help_lists_every_command() -> None:
    assert run("workflow", "start", "--help").stdout == run("workflow.start", "--help").stdout
    listed = run("--help").stdout
    assert all(name in listed for name in main.COMMANDS)


@pytest.mark.needs_processes
def test_help_imports_no_backend() -> None:
    code = (
        "import sys\nfrom simpleflow.cli import main\n"
        "try: main.main(['--help'])\nexcept SystemExit: pass\n"
        "print(sorted(m for m in sys.modules if m.split('.')[0] in ('boto3', 'botocore', 'uvloop', 'rich')))"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert ended.stdout.splitlines()[-1] == "[]"
