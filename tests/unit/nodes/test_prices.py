"""Prices: the dated list of the package, what the cluster file says instead, and what AWS answers when it is asked."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from simpleflow.cli import sfnodes
from simpleflow.core import errors as core_errors
from simpleflow.nodes import config, errors, prices
from simpleflow.nodes.manager import observe
from simpleflow.nodes.providers.ec2 import pricelist

EC2 = """\
cluster: demo
provider: ec2
region: eu-west-1
budget: {per_hour: 50}
profiles:
  small: {types: [c7i.large, m7i.xlarge]}
task_lists:
  light: {profile: small, max: 4}
deciders: {types: [t3.small]}
"""


def run(*arguments: str) -> Result:
    return CliRunner().invoke(sfnodes.cli, list(arguments))


def test_the_list_of_the_package_is_dated_and_has_prices_that_are_known() -> None:
    known = prices.read(prices.PATH)
    assert re.fullmatch(r"20\d\d-\d\d-\d\d", known.dated)
    assert known.price("m5.large", "us-east-1") == 0.096
    assert known.price("m5.24xlarge", "us-east-1") == pytest.approx(4.608)
    assert known.price("t3.micro", "eu-west-1") == pytest.approx(0.0114)
    assert (known.price("m5.large", "mars-1"), known.price("m5.huge", "us-east-1")) == (None, None)
    assert known.price("p9.large", "us-east-1") is None


def test_machines_that_name_no_price_cost_what_the_dearest_of_their_types_costs() -> None:
    cluster = config.loads(EC2)
    dearest = prices.known().price("m7i.xlarge", "eu-west-1")
    assert cluster.price_of(cluster.profiles["small"]) == dearest
    assert cluster.price_of(cluster.deciders) == prices.known().price("t3.small", "eu-west-1")
    assert cluster.profiles["small"].billing.price is None, "what may be outdated never bounds what AWS is asked for"
    assert observe.prices(cluster) == {"small": round(1e6 * (dearest or 0))}


def test_the_cluster_file_comes_before_the_list() -> None:
    given = config.loads(EC2.replace("m7i.xlarge]", "m7i.xlarge], billing: {price: 0.5}"))
    assert given.price_of(given.profiles["small"]) == 0.5
    for other in ("provider: process", "provider: ec2\ncurrency: EUR"):
        text = EC2.replace("provider: ec2", other).replace("budget: {per_hour: 50}\n", "")
        other_cluster = config.loads(text)
        assert other_cluster.price_of(other_cluster.profiles["small"]) is None


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("m7i.xlarge", "p9.xlarge"), r"nor has the list of 20\d\d-.* \(`sfnodes prices`\) one of p9.xlarge"),
        (("region:", "currency: EUR\nregion:"), r"has no price in EUR \(the list of `sfnodes prices` is in USD\)"),
    ],
)
def test_a_budget_says_which_price_is_missing(change: tuple[str, str], said: str) -> None:
    with pytest.raises(errors.ClusterFileError, match=said):
        config.loads(EC2.replace(*change))


def test_prices_are_shown_with_where_they_come_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("cluster.yaml").write_text(EC2.replace("types: [t3.small]", "types: [t3.small], billing: {price: 1.5}"))
    rows = json.loads(run("prices", "cluster.yaml", "--type", "p9.large", "--json").stdout)["prices"]
    assert [(each["what"], each["region"]) for each in rows] == [
        ("profile small", "eu-west-1"),
        ("deciders", "eu-west-1"),
        ("p9.large", "eu-west-1"),
    ]
    assert [each["from"].partition(" of ")[0] for each in rows] == ["the list", "the cluster file", "nobody: the list"]
    assert run("prices").stdout.startswith("list of 20")
    assert "c7i.large\t0.09576" in run("prices", "--region", "eu-west-1").stdout
    assert run("prices", "--type", "c7i.large").exit_code == 64
    assert "needs a --region" in run("prices", "--renew").stderr


def test_renewing_without_credentials_is_one_message(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    done = run("prices", "--renew", "--region", "eu-west-1")
    assert (done.exit_code, done.stdout) == (1, "")
    assert "asking AWS for the prices of eu-west-1: no AWS credentials were found; set AWS_PROFILE" in done.stderr
    assert run("prices", "--renew", "--region", "eu-wset-1").exit_code == 64


def product(name: str, price: str, unit: str = "Hrs") -> dict[str, object]:
    """One product as GetProducts describes it (Price List Query API)."""
    dimension = {"unit": unit, "pricePerUnit": {"USD": price}}
    terms = {"OnDemand": {"X.Y": {"priceDimensions": {"X.Y.Z": dimension}}}}
    return {"product": {"attributes": {"instanceType": name}}, "terms": terms}


def test_what_aws_answers_replaces_the_prices_of_that_region_alone(tmp_path: Path) -> None:
    found = pricelist.parsed(
        [
            product("c7i.large", "0.1000000000"),
            product("c7i.large", "0"),
            product("p9.large", "3.5"),
            product("p9.large", "9.9", "Quantity"),
            {"product": {}},
        ]
    )
    assert found == {"c7i.large": 0.1, "p9.large": 3.5}
    renewed = prices.known().with_region("eu-west-1", "2026-11-29", found)
    path = tmp_path / "prices.json"
    prices.write(path, renewed)
    again = prices.read(path)
    assert again == renewed
    assert (again.price("p9.large", "eu-west-1"), again.price("m5.large", "eu-west-1")) == (3.5, None)
    assert (again.day("eu-west-1"), again.price("m5.large", "us-east-1")) == ("2026-11-29", 0.096)


def test_a_list_that_cannot_be_read_or_written_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "prices.json").write_text("{")
    with pytest.raises(core_errors.UsageError, match="install simpleflow anew"):
        prices.read(tmp_path / "prices.json")
    with pytest.raises(core_errors.UsageError, match="as the owner of the installation"):
        prices.write(tmp_path / "nowhere" / "prices.json", prices.known())
