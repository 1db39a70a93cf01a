"""docs/reference/formats.md, part two, held against the code: every key, every default, every time, every document."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, get_args, get_type_hints

import msgspec
import pytest
import yaml

from simpleflow.core import documents
from simpleflow.nodes import config
from simpleflow.nodes.agent import channel
from simpleflow.nodes.cluster import cluster, supervisor
from simpleflow.nodes.policy import decide
from simpleflow.nodes.providers import base

PAGE = (Path(__file__).resolve().parents[3] / "docs" / "reference" / "formats.md").read_text()
PART = PAGE[PAGE.index("## Part two: clusters") :]


def block(language: str, number: int = 0, *, after: str = "") -> str:
    """The text of a fenced block behind a heading."""
    text = PART[PART.index(after) :] if after else PART
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)[number]


def documented(after: str) -> Any:
    return json.loads(block("json", after=after))


def test_the_cluster_file_of_the_page_is_good_and_shows_every_key_with_its_default() -> None:
    text = block("yaml", after="### Cluster file")
    shown = yaml.safe_load(text)
    made = config.loads(text)
    least = {key: shown[key] for key in ("cluster", "profiles", "task_lists")}
    least["profiles"] = {"small": {}}
    least["task_lists"] = {"light": {"profile": "small", "max": 4}}
    assert made == config.loads(yaml.safe_dump(least)), "a value of the page is not the default"
    whole = msgspec.to_builtins(made)
    assert set(shown) == set(whole)
    assert set(shown["profiles"]["small"]) == set(whole["profiles"]["small"])
    assert set(shown["task_lists"]["light"]) == set(whole["task_lists"]["light"])
    for key in ("budget", "breaker", "code", "network", "logs"):
        assert set(shown[key]) == set(whole[key]), key
    for key in ("disk", "billing", "ssh"):
        assert set(shown["profiles"]["small"][key]) == set(whole["profiles"]["small"][key]), key
    own = set(config.Deciders.__struct_fields__) - set(config.Machine.__struct_fields__)
    assert set(shown["deciders"]) == own
    said = re.search(r"deciders:.*?takes (.*?) too", text)
    assert said is not None
    assert set(said[1].split(", ")) == set(config.Machine.__struct_fields__)


def test_the_times_of_the_page_are_those_of_the_presets() -> None:
    table = PART[PART.index("Settings of `times`") : PART.index("`rehearsal` is `aws`")]
    found: dict[str, tuple[float, float]] = {}
    for line in table.splitlines():
        if not line.startswith("| `"):
            continue
        names, aws, local, _ = (cell.strip() for cell in line.strip("|").split("|"))
        rows = zip(re.findall(r"`(\w+)`", names), aws.split(", "), local.split(", "), strict=True)
        found |= {name: (float(first), float(second)) for name, first, second in rows}
    for number, preset in enumerate(("aws", "local")):
        given = msgspec.structs.asdict(config.PRESETS[preset])
        assert {name: values[number] for name, values in found.items()} == given, preset


@pytest.mark.parametrize(
    ("after", "kind"),
    [
        ("`nodes/ID.json`, by each agent", documents.NodeDocument),
        ("`demand/DECIDER.json`, by each", documents.DemandDocument),
        ("`control.json`, replaced with If-Match", documents.Control),
        ("`ledger/INSTANCE.json`, by the manager", documents.LedgerEntry),
        ("`cluster.json`, by `up`", documents.ClusterDocument),
        ("`forecast.json`, by the manager", documents.Forecast),
        ("### What starts an agent", documents.NodeSetup),
        ("Worker to agent, on every change", channel.WorkerStatus),
    ],
)
def test_a_document_of_the_page_is_one_of_ours_with_every_field(after: str, kind: type[msgspec.Struct]) -> None:
    shown = documented(after)
    made = msgspec.convert(shown, kind)
    assert set(shown) == set(kind.__struct_fields__)
    assert json.loads(msgspec.json.encode(made)).keys() == shown.keys()


def test_rows_and_intents_of_the_page_have_every_field() -> None:
    shown = documented("`control.json`, replaced with If-Match")
    for key, kind in (("rows", documents.Row), ("spent", documents.Spent), ("failures", documents.Failures)):
        assert set(shown[key][0]) == set(kind.__struct_fields__), key
    assert set(shown["intents"][0]) == set(documents.Intent.__struct_fields__)
    assert set(shown["lease"]) == set(documents.Lease.__struct_fields__)
    run = documented("`demand/DECIDER.json`, by each")["runs"][0]
    assert set(run) == set(documents.RunRow.__struct_fields__)
    assert set(run["tasks"][0]) == set(documents.TaskCount.__struct_fields__)


def test_the_states_of_a_node_are_those_of_the_page() -> None:
    line = next(each for each in PART.splitlines() if each.startswith("`state`: "))
    states = set(get_args(get_type_hints(documents.NodeDocument)["state"]))
    assert {state for state in states if f"`{state}`" in PART[PART.index(line) : PART.index(line) + 300]} == states


def test_the_providers_protocol_is_that_of_the_page() -> None:
    text = block("python", after="### NodeProvider")
    assert set(re.findall(r"def (\w+)", text)) == {name for name in vars(base.NodeProvider) if not name.startswith("_")}


def test_the_json_of_commands_is_that_of_the_page() -> None:
    table = PART[PART.index("### `sfnodes … --json`") :]
    rows = {line.split("|")[1].strip(" `"): line.split("|", 2)[2] for line in table.splitlines() if "| `" in line[:4]}
    names = re.compile(r'"(\w+)"')
    assert names.findall(rows["status"].partition('"nodes":[{')[0]) == list(cluster.Status.__struct_fields__)[:9]
    of_a_node = re.search(r'"nodes":\[\{(.*?)\}\]', rows["status"])
    assert of_a_node is not None
    assert names.findall(of_a_node[1]) == list(cluster.NodeStatus.__struct_fields__)
    assert names.findall(rows["up"]) == list(supervisor.Up.__struct_fields__)
    of_a_plan = re.search(r'"nodes":\{(.*)\}', rows["plan"])
    assert of_a_plan is not None
    assert [name for name in names.findall(of_a_plan[1]) if name in decide.Plan.__struct_fields__] == list(
        decide.Plan.__struct_fields__
    )
    for name, kind in (("launches", decide.Launch), ("keeps", decide.Item), ("extensions", decide.Extension)):
        found = re.search(rf'"{name}":\[\{{(.*?)\}}', of_a_plan[1])
        assert found is not None
        assert names.findall(found[1]) == list(kind.__struct_fields__), name
