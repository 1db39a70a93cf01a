"""Cluster files: every error with its line, and what to write instead."""

from __future__ import annotations

from pathlib import Path

import jsonschema
import msgspec
import pytest
import yaml

from simpleflow.nodes import config, errors
from simpleflow.nodes.stack import template

GOOD = """\
cluster: demo
profiles:
  small: {billing: {price: 0.05}}
  large: {billing: {period: 3600, minimum: 3600, price: 0.4}}
task_lists:
  light: {profile: small, slots: 2, max: 4}
  heavy: {profile: large, max: 2}
"""


#: on EC2 as anywhere: a budget is held against prices that the file names
UNPRICED = "cluster: demo\nprovider: ec2\nbudget: {per_hour: 5}\nprofiles:\n  small: {types: [c7i.large]}"


def problems(text: str) -> tuple[str, ...]:
    with pytest.raises(errors.ClusterFileError) as caught:
        config.loads(text, "c.yaml")
    return caught.value.problems


def test_a_good_file_and_its_defaults() -> None:
    cluster = config.loads(GOOD)
    assert cluster.swf_domain == cluster.decision_task_list == "demo"
    assert cluster.lists_of("small") == (("light", 2),)
    assert (cluster.max_of("small"), cluster.preset_name) == (4, "local")
    assert cluster.settings.lease == 6.0


@pytest.mark.parametrize(
    ("change", "line", "said"),
    [
        (("cluster: demo", "clutser: demo"), 1, "did you mean 'cluster'?"),
        (("slots: 2", "slot: 2"), 6, "unknown key 'task_lists.light.slot'; did you mean 'slots'?"),
        (("profile: large", "profile: larg"), 7, "names profile 'larg', which does not exist; did you mean 'large'?"),
        (("  heavy: {profile: large, max: 2}\n", ""), 4, "no task list uses profile 'large'"),
        (("{profile: large, max: 2}", "{max: 2}"), 7, "'profile' is missing"),
        (("{billing: {price: 0.05}}", "{min: 1, billing: {price: 0.05}}"), 3, "write deciders: {min: 1} or min: 0"),
        (("slots: 2", "slots: two"), 6, "task_lists.light.slots: 'two' is not a whole number"),
        (("slots: 2", "slots: 0"), 6, "must be at least 1"),
        (("cluster: demo", "cluster: Demo!"), 1, "does not match"),
        (("price: 0.05", "prise: 0.05"), 3, "did you mean 'price'?"),
        (("max: 2}", "max: 2}\n  heavy: {profile: small, max: 1}"), 8, "stands here twice (first on line 7)"),
        (("profiles:", "profiles: 3\nx:"), 2, "is not a mapping"),
        (("cluster: demo", "cluster: [demo"), 2, "not YAML"),
        (("cluster: demo", "cluster: demo\nbudget: {per_hour: 0.0001}"), 2, "allows no node of profile 'small'"),
        (("cluster: demo", "cluster: demo\ntimes: {leas: 3}"), 2, "did you mean 'lease'?"),
        (("cluster: demo", "cluster: demo\ntimes: {lease: 3}"), 2, "must be at most half of times.lease"),
        (("cluster: demo", "cluster: demo\npreset: locale"), 2, "is not one of aws, local, rehearsal"),
        (("cluster: demo", "cluster: demo\nprovider: ec2"), 2, "needs a region"),
        (("cluster: demo\nprofiles:\n  small: {billing: {price: 0.05}}", UNPRICED), 5, "'small' has no price, so the"),
        (("cluster: demo", "cluster: demo\ncode: {wheel: a.whl, path: .}"), 2, "keep one of them"),
        (("cluster: demo", "cluster: demo\ntags: {'a b': c}"), 2, "does not match"),
        (("cluster: demo", "cluster: demo\ndeciders: {task_list: light}"), 7, "is also the deciders' task list"),
    ],
)
def test_bad_input_names_the_line_and_what_to_write(change: tuple[str, str], line: int, said: str) -> None:
    text = GOOD.replace(*change, 1)
    assert text != GOOD
    found = problems(text)
    assert any(each.startswith(f"c.yaml:{line}: ") and said in each for each in found), found


def test_every_problem_comes_at_once() -> None:
    assert len(problems(GOOD.replace("slots: 2", "slots: x").replace("price: 0.4", "price: -1"))) == 2


@pytest.mark.parametrize(("text", "said"), [("", "the file is empty"), ("- 1\n", "is not made of lines")])
def test_files_that_hold_no_cluster(text: str, said: str) -> None:
    assert any(said in each for each in problems(text))


def test_a_missing_file_says_how_to_get_one(tmp_path: Path) -> None:
    with pytest.raises(errors.ClusterFileError, match="sfnodes init"):
        config.load(tmp_path / "cluster.yaml")


def test_what_init_writes_is_good_and_has_two_of_each() -> None:
    cluster = config.loads(template.render("mine"))
    assert (cluster.cluster, len(cluster.profiles), len(cluster.task_lists)) == ("mine", 2, 2)


def test_the_schema_accepts_what_the_reader_accepts_and_refuses_a_typo() -> None:
    schema = config.json_schema()
    jsonschema.validate(yaml.safe_load(GOOD), schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(yaml.safe_load(GOOD.replace("slots", "slotz")), schema)


def test_a_rehearsal_is_aws_divided_by_its_factor_but_for_what_this_machine_does() -> None:
    aws = msgspec.structs.asdict(config.PRESETS["aws"])
    rehearsal = msgspec.structs.asdict(config.PRESETS["rehearsal"])
    differing = {name for name in aws if rehearsal[name] != aws[name] / config.REHEARSAL_FACTOR}
    assert differing == {"keep_documents", "never_polled_min", "never_polled_max", "sick"}
    assert rehearsal["poll"] == 3.0
    assert rehearsal["never_polled_min"] >= 45.0, "its machines install for real, on cores that they share"


def test_presets_hold_their_own_rules() -> None:
    for name in config.PRESETS:
        assert config.loads(GOOD + f"preset: {name}\n").preset_name == name
