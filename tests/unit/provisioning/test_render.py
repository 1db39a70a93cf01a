"""User data and units as text: what they hold, and what is refused."""

from __future__ import annotations

import base64
import gzip
import shutil
import subprocess
from pathlib import Path
from typing import Any

import jinja2
import msgspec
import pytest
import yaml

from simpleflow.core import documents
from simpleflow.provisioning import errors, render

SETUP: dict[str, Any] = {
    "cluster": "farm",
    "domain": "nightly",
    "profile": "gpu",
    "provider": "ec2",
    "store": "s3://bucket/farm",
    "task_lists": [["render", 2]],
    "times": {"lease": 60.0},
    "region": "eu-west-1",
    "environment": {"GREETING": 'two words, "quotes" and a: colon # ü'},
}
PART = render.Part(location="s3://bucket/bundles/abc", sha256="a" * 64)
DELIVERY = render.Delivery(node=PART, code=PART, region="eu-west-1")
DECIDER = render.Delivery(
    node=PART,
    code=PART,
    region="eu-west-1",
    boot_counter=render.BootCounter(location="s3://bucket/boots.json", group="farm-deciders", alarm="farm-broken"),
)


def test_user_data_is_small_and_holds_the_settings() -> None:
    text = render.user_data(SETUP, DELIVERY)
    assert len(text.encode()) < render.USER_DATA_LIMIT / 2
    assert text == render.user_data(SETUP, DELIVERY)
    document = yaml.safe_load(text)
    assert document.keys() == {"write_files", "runcmd"}
    assert render.setup_of(text) == SETUP
    # CloudFormation's Sub must find nothing to replace.
    assert "${" not in text
    # All scalar settings reach the agent's own reader.
    assert msgspec.convert(render.setup_of(text), documents.NodeSetup).environment == SETUP["environment"]


def test_user_data_carries_fetch_as_it_is() -> None:
    files = {each["path"]: each for each in yaml.safe_load(render.user_data(SETUP, DELIVERY))["write_files"]}
    script = gzip.decompress(base64.b64decode(files[render.FETCH_PATH]["content"]))
    assert script == (Path(render.__file__).parent / "node" / "fetch.py").read_bytes()


@pytest.mark.parametrize(
    ("setup", "delivery", "says"),
    [
        ({k: v for k, v in SETUP.items() if k != "store"}, DELIVERY, "lacks store"),
        ({**SETUP, "cluster": "two words"}, DELIVERY, "setup.cluster is 'two words'"),
        (SETUP, render.Delivery(node=PART, code=PART, region="Europe"), "region is 'Europe'"),
        (
            SETUP,
            render.Delivery(node=PART, code=render.Part(location="s3://b/k", sha256="abc"), region="eu-west-1"),
            "code.sha256 is 'abc'",
        ),
        (
            SETUP,
            render.Delivery(node=render.Part(location="ftp://x", sha256="a" * 64), code=PART, region="eu-west-1"),
            "node.location is 'ftp://x'",
        ),
        ({**SETUP, "environment": {"BIG": "x" * 17000}}, DELIVERY, "EC2 takes 16384"),
    ],
)
def test_what_cannot_be_right_is_refused(setup: dict[str, Any], delivery: render.Delivery, says: str) -> None:
    with pytest.raises(errors.ProvisioningError, match=says):
        render.user_data(setup, delivery)


def test_foreign_user_data_holds_no_setup() -> None:
    with pytest.raises(errors.ProvisioningError, match=r"holds no /etc/simpleflow/node\.json"):
        render.setup_of("#!/bin/sh\necho hello\n")


def test_only_deciders_count_their_boots() -> None:
    assert "boot_counter" not in render.delivery_settings(DELIVERY)
    found = yaml.safe_load(render.delivery_settings(DECIDER))
    assert found["boot_counter"] == "s3://bucket/boots.json"
    assert found["units"].split() == [render.AGENT_UNIT, render.SETTLED_UNIT]


def test_a_name_that_a_template_lacks_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    environment = render._environment()
    assert environment.undefined is jinja2.StrictUndefined
    with pytest.raises(jinja2.UndefinedError):
        environment.get_template("simpleflow-agent.service.j2").render(cluster="farm")


def test_the_agent_powers_off_and_never_halts() -> None:
    unit = render.agent_unit(cluster="farm", profile="gpu", environment={"A": "b"})
    lines = unit.splitlines()
    assert "SuccessAction=poweroff" in lines
    # Debian 12's systemd would take a restart for a success; that a failed agent comes back: tests/unit/ami.
    assert not [line for line in lines if line.startswith("Restart=")]
    assert f"OnFailure={render.AGAIN_UNIT}" in lines
    assert 'Environment="A=b"' in lines
    folder = Path(render.__file__).parent
    for path in [*folder.rglob("*.j2"), *folder.rglob("node/*.py")]:
        words = path.read_text().replace("=", " ").replace("/", " ").split()
        assert "halt" not in words, f"{path}: 'halt' leaves an EC2 instance running, and billing"


def test_an_environment_is_quoted_as_systemd_reads_it(tmp_path: Path) -> None:
    unit = render.agent_unit(cluster="farm", profile="gpu", environment={"A": 'two "words", 100% \\ and\na line'})
    assert 'Environment="A=two \\"words\\", 100%% \\\\ and\\na line"' in unit.splitlines()
    with pytest.raises(errors.ProvisioningError, match=r"environment\.A is"):
        render.agent_unit(cluster="farm", profile="gpu", environment={"A": "bell\a"})


def test_systemd_accepts_the_units(tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed (scripts/test-setup)")
    # The programs need not exist here, only be absolute: systemd-analyze complains about absent ones.
    root = tmp_path / "root"
    (root / "venv/bin").mkdir(parents=True)
    (root / "venv/bin/python").write_text("#!/bin/sh\n")
    (root / "venv/bin/python").chmod(0o755)
    agent = tmp_path / render.AGENT_UNIT
    agent.write_text(render.agent_unit(cluster="farm", profile="gpu", root=str(root), user="root"))
    again = tmp_path / render.AGAIN_UNIT
    again.write_text(render.again_unit(cluster="farm"))
    settled = tmp_path / render.SETTLED_UNIT
    settled.write_text(render.settled_unit(cluster="farm").replace("/usr/bin/python3", "/bin/sh"))
    for path in (agent, again, settled):
        done = subprocess.run(["systemd-analyze", "verify", str(path)], capture_output=True, text=True, check=False)
        ours = [line for line in done.stderr.splitlines() if path.name in line]
        assert (done.returncode, ours) == (0, [])
    broken = tmp_path / "simpleflow-broken.service"
    broken.write_text(agent.read_text().replace("SuccessAction=poweroff", "SuccessAction=powerof"))
    done = subprocess.run(["systemd-analyze", "verify", str(broken)], capture_output=True, text=True, check=False)
    assert "SuccessAction" in done.stderr


def test_cloud_init_accepts_the_user_data(tmp_path: Path) -> None:
    if shutil.which("cloud-init") is None:
        pytest.skip("cloud-init is not installed (scripts/test-setup): its schema was not asked")
    good, bad = tmp_path / "good", tmp_path / "bad"
    good.write_text(render.user_data(SETUP, DELIVERY))
    bad.write_text(render.user_data(SETUP, DELIVERY).replace("runcmd:\n-", "runcmd: 7\nx:\n-"))
    argv = ["cloud-init", "schema", "--config-file"]
    accepted = subprocess.run([*argv, str(good)], capture_output=True, text=True, check=False)
    assert accepted.returncode == 0, accepted.stderr
    assert subprocess.run([*argv, str(bad)], capture_output=True, check=False).returncode
