"""Cluster files that are easy to get wrong: what YAML reads otherwise than people, names, reach, machines."""

from __future__ import annotations

import os
from pathlib import Path

import jsonschema
import pytest
import yaml
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from simpleflow.cli import sfnodes
from simpleflow.core import text as texts
from simpleflow.nodes import config, errors
from simpleflow.nodes.config import machines

HEAD = "cluster: demo\n"
TAIL = "profiles:\n  small: {billing: {price: 0.05}}\ntask_lists:\n  light: {profile: small, slots: 2, max: 4}\n"
EC2 = "cluster: demo\nprovider: ec2\nregion: eu-west-1\n"
SSH = "cluster: demo\nprovider: ssh\n"


def problems(text: str) -> tuple[str, ...]:
    with pytest.raises(errors.ClusterFileError) as caught:
        config.loads(text, "c.yaml")
    return caught.value.problems


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("010", "YAML reads 010 as 8; write 8 or 10, or '010' in quotes"),
        ("-010", "YAML reads -010 as -8; write -8 or -10"),
        ("08", "'08' is not a whole number"),
        ("0x1F", "YAML reads 0x1F as 31; write 31"),
        ("0b11", "as 3; write 3"),
        ("1_000", "as 1000; write 1000"),
        ("1:30", "YAML reads 1:30 as 90; write 90"),
        ("1:30.5", "as 90.5"),
        ("yes", "YAML reads yes as true; write true or false, or 'yes' in quotes"),
        ("No", "YAML reads No as false"),
        ("on", "YAML reads on as true"),
        (".nan", ".nan is not a finite number"),
        ("-.inf", "-.inf is not a finite number"),
        ("1e999", "1e999 is too large a number"),
        ("9" * 5000, "is too large a number"),
        ("0b" + "1" * 5000, "is too large a number"),
        ("1:" * 2000 + "1", "is too large a number"),
        ("2024-01-01", "YAML reads 2024-01-01 as a date"),
        ("4.0", "4.0 is not a whole number; write 4"),
        ("!!binary aGk=", "tag '!!binary' is not read"),
        ("!!python/object/apply:os.getcwd []", "is not read"),
        ("!own 4", "tag '!own' is not read"),
        ("&a [*a]", "this alias stands for a value around it"),
        ("*nothing", "write the value itself, or put a text that begins with '*' in quotes"),
        ("\t4", "a tab; indent with blanks"),
        ('"4\\n"', "is not a whole number"),
    ],
)
def test_words_that_yaml_reads_otherwise(value: str, said: str) -> None:
    found = problems(HEAD + TAIL.replace("max: 4}", f"max: {value}\n  }}"))
    assert any(each.startswith("c.yaml:5: ") and said in each for each in found), found


@pytest.mark.parametrize("word", ["yes", "no", "On", "OFF", "010", "1:30", "2024-01-01", "1.0"])
def test_unquoted_words_where_text_belongs_are_refused_and_quoted_ones_are_text(word: str) -> None:
    text = TAIL.replace("{billing", f"{{environment: {{A: {word}}}, billing")
    assert "in quotes" in problems(HEAD + text)[0]
    read = config.loads(HEAD + text.replace(f"A: {word}", f"A: '{word}'"))
    assert read.profiles["small"].environment == {"A": word}


def test_keys_are_what_they_look_like() -> None:
    """An environment variable NO, a task list 010: YAML 1.1 would call them false and 8."""
    text = TAIL.replace("light:", "010:").replace("{billing", "{environment: {NO: 'x'}, billing")
    read = config.loads(HEAD + text)
    assert (list(read.task_lists), read.profiles["small"].environment) == (["010"], {"NO": "x"})


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        (HEAD + "budget: &b {per_hour: 5}\nbreaker:\n  <<: *b\n" + TAIL, 4, "merge keys ('<<') are not read"),
        (HEAD + "? [a, b]\n: 3\n" + TAIL, 2, "a key is a list or a mapping"),
        (HEAD + "'': 3\n" + TAIL, 2, "a key is blank"),
        (HEAD + HEAD + TAIL, 2, "'cluster' stands here twice (first on line 1)"),
        (HEAD + TAIL + "---\n" + TAIL, 6, "a second document begins here"),
        ("cluster: |\n  demo\n" + TAIL, 1, "has blanks or an empty line at its ends"),
        ('cluster: "demo\\n"\n' + TAIL, 1, r"'demo\n'"),
        ("cluster: " + "[" * 50_000 + "\n" + TAIL, 1, "inside each other"),
        (HEAD + "tags:\n" + "".join(f"{' ' * n}a:\n" for n in range(1, 40)) + TAIL, 22, "inside each other"),
        (HEAD + "# " + "x" * 300_000 + "\n" + TAIL, 1, "larger than 256 KiB"),
        (HEAD + "region: 'a\x00b'\n" + TAIL, 2, "the character '\\x00' is not allowed"),
        (HEAD + 'region: "a\\0b"\n' + TAIL, 2, "a character that cannot be shown"),
        (HEAD + 'domain: "\\ud800"\n' + TAIL, 2, "a character that cannot be shown"),
        (HEAD + "domain: ' films'\n" + TAIL, 2, "blanks"),
        (HEAD + "domain: arn\n" + TAIL, 2, "does not match"),
        (HEAD + TAIL.replace("light:", "arn:"), 5, "not the word arn"),
        (HEAD + TAIL.replace("light:", "'light ':"), 5, "blanks"),
        (HEAD + TAIL.replace("light:", "'a/b':"), 5, "without ':', '/', '|'"),
        (HEAD + "times: {loop: 1e12}\n" + TAIL, 2, "must be at most 31,622,400"),
        (HEAD + "budget: {per_hour: 1}\n" + TAIL.replace("0.05", "70"), 2, "allows no node of profile 'small'"),
        (
            HEAD + "budget: {per_hour: 1.5}\ndeciders: {min: 1}\n"
            + TAIL.replace("{b", "{min: 2, b").replace("0.05", "50"),
            2,
            "does not hold what the profiles keep (min)",
        ),
    ],
)  # fmt: skip
def test_shapes_and_names(text: str, line: int, said: str) -> None:
    found = problems(text)
    assert any(each.startswith(f"c.yaml:{line}: ") and said in each for each in found), found
    assert all("\n" not in each and len(each) < 600 for each in found)


def test_aliases_of_aliases_end_soon() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12)]
    assert any("values with all aliases" in each for each in problems("\n".join(lines)))


def test_a_task_list_may_contain_arn_and_machines_may_be_free() -> None:
    read = config.loads(HEAD + TAIL.replace("light:", "warning-arn:").replace("0.05", "0"))
    assert list(read.task_lists) == ["warning-arn"]
    assert read.profiles["small"].billing.price == 0


def test_numbers_as_json_writes_them() -> None:
    """The supervisor keeps its copy of the file as JSON."""
    assert config.loads(HEAD + TAIL.replace("0.05", "1e-05")).profiles["small"].billing.price == 1e-05


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("network: {cidr: 10.77.0.1/16}", "write 10.77.0.0/16"),
        ("network: {cidr: 10.77.0.0/33}", "not a block of addresses"),
        ("network: {cidr: 10.0.0.0/8}", "from /16 to /24"),
        ("network: {cidr: 'fd00::/56'}", "EC2 takes an IPv4 block"),
        ("network: {cidr: 8.8.0.0/16}", "is a public block"),
        ("endpoint: unix:///run/swf.sock", "is a socket of this machine"),
        ("endpoint: swf.example.org", "endpoint 'swf.example.org' is none of"),
        ("store: file:///data", "reach s3://BUCKET"),
        ("store: s3://UPPER", "not 'UPPER'"),
        ("store: s3://b..c/x", "not 'b..c'"),
        ("store: s3://10.0.0.1", "not '10.0.0.1'"),
        (f"store: s3://{'b' * 64}", "3 to 63"),
        ("store: s3://films/a//b", "without '//'"),
        ("store: s3://films/../b", "without '//'"),
        ("tags: {team: '*'}", "tags.team: AWS takes up to 256"),
        (f"tags: {{team: {'v' * 257}}}", "tags.team: AWS takes up to 256"),
        ("tags: {'a,b': c}", "does not match"),
        ("tags: {Team: a, team: b}", "the same key as 'Team'"),
        ("image: worker", "write ami-... or ssm:"),
    ],
)
def test_what_ec2_cannot_take(text: str, said: str) -> None:
    tail = TAIL.replace("{billing", "{types: [c7i.large], billing")
    config.loads(f"{EC2}store: s3://films/\ntags: {{team: 'Größe 1/2 @x'}}\n{tail}")
    assert any(said in each for each in problems(f"{EC2}{text}\n{tail}"))


@pytest.mark.parametrize(
    ("types", "more", "said"),
    [
        ("[c7g.large]", "", "c7g.large is arm64, the file says x86_64; write arch: arm64"),
        ("[c7gd.xlarge, c7i.large]", "arch: arm64, ", "c7i.large is x86_64, the file says arm64"),
        ("[a1.large]", "", "is arm64"),
        ("[c7i-large]", "", "'c7i-large' is not an instance type"),
        ("[c7i.large]", "billing: {price: 0}, ", "no machine of EC2 is free"),
    ],
)
def test_machines_that_do_not_fit(types: str, more: str, said: str) -> None:
    text = EC2 + TAIL.replace("{billing: {price: 0.05}}", f"{{{more}types: {types}}}")
    assert any(said in each for each in problems(text))


@pytest.mark.parametrize(
    "name",
    ["c7i.large", "g5.xlarge", "g4dn.xlarge", "m6id.metal", "u-6tb1.112xlarge", "mac2-m2.metal", "c7i-flex.large",
     "im4gn.large", "t4g.small", "g5g.xlarge", "hpc7g.4xlarge"],
)  # fmt: skip
def test_types_and_their_processors(name: str) -> None:
    arm = name in {"im4gn.large", "t4g.small", "g5g.xlarge", "hpc7g.4xlarge"}
    assert machines.is_type(name)
    assert machines.arch_of(name) in ({"arm64"} if arm else {"x86_64", ""})
    assert machines.boots_uefi(name)
    assert not machines.boots_uefi("t2.small")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("endpoint: unix:///run/swf.sock\nstore: s3://b/x", "is a socket of this machine"),
        ("endpoint: http://127.0.0.1:9000\nstore: s3://b/x", "is an address of this machine alone"),
        ("endpoint: http://swf:9000\nstore: file:///data", "is a folder of this machine"),
        ("endpoint: http://swf:99999\nstore: s3://b/x", "is none of"),
        ("endpoint: http://swf:9000\nstore: s3://", "names no bucket"),
    ],
)
def test_what_machines_of_ssh_cannot_reach(text: str, said: str) -> None:
    tail = TAIL.replace("{billing", "{hosts: [10.0.0.1], billing")
    config.loads(f"{SSH}endpoint: http://swf:9000\nstore: s3://b/x\n{tail}")
    assert any(said in each for each in problems(f"{SSH}{text}\n{tail}"))


def test_validate_says_what_machines_of_ssh_need(tmp_path: Path) -> None:
    file = tmp_path / "c.yaml"
    file.write_text(SSH + TAIL.replace("{billing", "{hosts: [10.0.0.1], billing"))
    for command in ("validate", "up"):
        done = CliRunner().invoke(sfnodes.cli, [command, str(file)])
        first, second = done.stderr.splitlines()
        assert done.exit_code == 64
        assert first.startswith(f"{file}:2: provider ssh needs an endpoint")
        assert second.startswith(f"{file}:2: provider ssh needs a store")


def test_up_says_that_a_bucket_needs_credentials(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith("AWS_"):
            monkeypatch.delenv(name)
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, os.devnull)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("SIMPLEFLOW_DATA_DIR", str(tmp_path / "data"))
    (tmp_path / "c.yaml").write_text(HEAD + "store: s3://films-documents\n" + TAIL)
    done = CliRunner().invoke(sfnodes.cli, ["up", str(tmp_path / "c.yaml")])
    assert done.exit_code == 1
    assert "of s3://films-documents/demo: Unable to locate credentials: set AWS_ACCESS_KEY_ID" in done.stderr
    assert not (tmp_path / "data").exists()


def test_files_that_are_none(tmp_path: Path) -> None:
    pipe, folder, latin = tmp_path / "pipe", tmp_path / "folder", tmp_path / "latin"
    os.mkfifo(pipe)
    folder.mkdir()
    latin.write_bytes(b"cluster: demo\nregion: caf\xe9\n")
    said = {pipe: "not a file", folder: "a folder", latin: "latin:2: the file is not UTF-8", Path("a\0b"): "cannot be"}
    for path, words in said.items():
        with pytest.raises(errors.ClusterFileError, match=words):
            config.load(path)


def test_the_schema_knows_the_names_too() -> None:
    schema = config.json_schema()
    jsonschema.validate(yaml.safe_load(HEAD + TAIL.replace("light:", "warning-arn:")), schema)
    for bad in ("arn:", "' light':", "'a:b':"):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(yaml.safe_load(HEAD + TAIL.replace("light:", bad)), schema)


def outcome(text: str) -> None:
    """Either a cluster or problems, each with its line."""
    found: tuple[str, ...] = ("c.yaml:",)
    try:
        config.loads(text, "c.yaml")
    except errors.ClusterFileError as error:
        found = error.problems
    assert found
    assert all(each.startswith("c.yaml:") and texts.visible(each) == each for each in found)


_WORDS = st.sampled_from(
    [*"[]{}:,-?|>&*!%#'\"\n\t ", "<<", "&a", "*a", "!!set", "---", "...", "cluster", "profiles", "task_lists", "demo",
     "times", "budget", "max", "profile", "\n  ", ": ", "- ", "010", "1:30", ".nan", "yes", "~", "é", "\u2028", "\x85",
     "\ud800"]
)  # fmt: skip


@given(st.one_of(st.text(max_size=60), st.lists(_WORDS, max_size=30).map("".join)))
@settings(max_examples=150, deadline=None)
def test_any_text_gives_a_cluster_or_problems(text: str) -> None:
    outcome(text)


_SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8), st.dates(), st.binary(max_size=4),
    st.sampled_from(["demo", "small", "light", "ec2", "ssh", "process", "spot", "http://h:1", "s3://b", "10.0.0.0/16"]),
)  # fmt: skip
_KEYS = st.sampled_from(
    ["cluster", "provider", "profiles", "task_lists", "deciders", "budget", "times", "network", "tags", "small",
     "light", "profile", "max", "min", "billing", "price", "period", "hosts", "types", "environment", "cidr",
     "per_hour", "lease"]
)  # fmt: skip
_TREES = st.recursive(
    _SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(_KEYS, inner, max_size=5)),
    max_leaves=25,
)


@given(st.dictionaries(_KEYS, _TREES, max_size=8))
@settings(max_examples=150, deadline=None)
def test_any_structure_gives_a_cluster_or_problems(value: dict[str, object]) -> None:
    outcome(yaml.safe_dump(value, allow_unicode=True))
    whole = yaml.safe_load(HEAD + TAIL)
    outcome(yaml.safe_dump({**whole, **value}, allow_unicode=True))


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("yes", "task_lists.l.slots: YAML reads yes as true; write true or false, or 'yes' in quotes for text"),
        ("1:30", "task_lists.l.slots: YAML reads 1:30 as 90; write 90, or '1:30' in quotes for text"),
    ],
)
def test_a_value_that_is_wrong_in_itself_is_told_once(given: str, said: str) -> None:
    with pytest.raises(errors.ClusterFileError) as caught:
        config.loads(
            f"cluster: d\nprofiles: {{p: {{}}}}\ntask_lists: {{l: {{profile: p, max: 1, slots: {given}}}}}\n", "c.yaml"
        )
    assert caught.value.problems == (f"c.yaml:3: {said}",)


def test_the_form_of_a_name_is_told_in_words_and_nothing_turns_the_direction_of_a_text() -> None:
    with pytest.raises(errors.ClusterFileError) as caught:
        config.loads(
            "cluster: d\ncurrency: usd\nprofiles: {p: {}}\ntask_lists: {'l\u202ex': {profile: p, max: 1}}\n", "c.yaml"
        )
    assert caught.value.problems[0] == "c.yaml:2: currency: 'usd' does not match: three capital letters"
    assert "holds a character that cannot be shown" in caught.value.problems[1]
