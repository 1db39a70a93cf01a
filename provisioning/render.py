"""User data and systemd units as text, from typed values. A value that a template misses is an error."""

from __future__ import annotations

import base64
import dataclasses
import gzip
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jinja2
import yaml

from . import errors

#: EC2's limit on raw user data, bytes
USER_DATA_LIMIT = 16 * 1024
SETUP_PATH = "/etc/simpleflow/node.json"
DELIVERY_PATH = "/etc/simpleflow/delivery.json"
FETCH_PATH = "/usr/local/lib/simpleflow/fetch.py"
ROOT = "/opt/simpleflow"
STATE = "/var/lib/simpleflow"
ACCOUNT = "simpleflow"
AGENT_UNIT = "simpleflow-agent.service"
AGAIN_UNIT = "simpleflow-agent-again.service"
SETTLED_UNIT = "simpleflow-boot-settled.service"

_HERE = Path(__file__).resolve().parent
_WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_DIGEST = re.compile(r"[0-9a-f]{64}")
_LOCATION = re.compile(r"(s3|https?|file)://[^\s'\"\\]+")
#: what node.json must hold (core.documents.NodeSetup); the agent checks the rest
_SETUP_KEYS = ("cluster", "domain", "profile", "provider", "store", "task_lists", "times")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Part:
    """One thing that a node fetches: its location and its digest."""

    #: s3://BUCKET/KEY, https://..., file://...
    location: str
    #: 64 hexadecimal digits
    sha256: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class BootCounter:
    """How a decider group whose boots fail is stopped (docs/design/control.md, part 2)."""

    #: s3:// location of the counter
    location: str
    #: name of the Auto Scaling group whose launches are suspended
    group: str
    #: name of the user's alarm; '' for none
    alarm: str = ""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Delivery:
    """What a node fetches at boot, and from where."""

    #: scripts and units (``bundle.node_bundle``)
    node: Part
    #: the user's code and ours (``bundle.code_bundle``)
    code: Part
    region: str
    #: address of S3; '' for AWS's own
    endpoint: str = ""
    #: deciders only
    boot_counter: BootCounter | None = None
    #: addresses of other services, '' for AWS's own: autoscaling, cloudwatch
    endpoints: Mapping[str, str] = dataclasses.field(default_factory=dict)


def _environment() -> jinja2.Environment:
    return jinja2.Environment(  # noqa: S701 (units and YAML, not HTML: every value is checked or JSON)
        loader=jinja2.FileSystemLoader(_HERE / "templates"),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )


def _check(what: str, value: str, pattern: re.Pattern[str], instead: str) -> str:
    if not pattern.fullmatch(value):
        raise errors.ProvisioningError(f"{what} is {value!r}: write {instead}")
    return value


def _check_part(what: str, part: Part) -> None:
    _check(f"{what}.location", part.location, _LOCATION, "s3://BUCKET/KEY, https://... or file://... without blanks")
    _check(f"{what}.sha256", part.sha256, _DIGEST, "the SHA-256 of the bundle, 64 lower-case hexadecimal digits")


def node_setup(setup: Mapping[str, Any]) -> str:
    """Return the text of node.json; raises ProvisioningError naming the missing keys."""
    missing = [key for key in _SETUP_KEYS if key not in setup]
    if missing:
        raise errors.ProvisioningError(f"the node's setup lacks {', '.join(missing)}: see core.documents.NodeSetup")
    for key in ("cluster", "profile"):
        _check(f"setup.{key}", str(setup[key]), _WORD, "letters, digits, '.', '_' and '-'")
    return json.dumps(setup, sort_keys=True, separators=(",", ":"), allow_nan=False)


def delivery_settings(delivery: Delivery, root: str = ROOT) -> str:
    """Return the text of delivery.json, which fetch.py reads."""
    _check_part("node", delivery.node)
    _check_part("code", delivery.code)
    _check("region", delivery.region, re.compile(r"[a-z]{2}(-[a-z]+)+-\d"), "an AWS region such as 'eu-west-1'")
    settings = {
        "root": root,
        "region": delivery.region,
        "endpoint": delivery.endpoint,
        "node": delivery.node.location,
        "node_sha256": delivery.node.sha256,
        "code": delivery.code.location,
        "code_sha256": delivery.code.sha256,
        "units": AGENT_UNIT if delivery.boot_counter is None else f"{AGENT_UNIT} {SETTLED_UNIT}",
    }
    if delivery.boot_counter is not None:
        location = delivery.boot_counter.location
        _check("boot_counter.location", location, re.compile(r"s3://[^/\s]+/\S+"), "s3://BUCKET/KEY")
        settings.update(boot_counter=location, group=delivery.boot_counter.group, alarm=delivery.boot_counter.alarm)
        settings.update({f"{name}_endpoint": url for name, url in delivery.endpoints.items() if url})
    return json.dumps(settings, sort_keys=True, separators=(",", ":"))


def user_data(setup: Mapping[str, Any], delivery: Delivery) -> str:
    """Return a node's user data: cloud-config with its settings and the fetch of the rest.

    ``setup`` is a core.documents.NodeSetup as plain values. Raises ProvisioningError for invalid values, and for
    more than 16 kB, which EC2 refuses.
    """
    script = (_HERE / "node" / "fetch.py").read_bytes()
    text = (
        _environment()
        .get_template("user-data.yaml.j2")
        .render(
            node_location=delivery.node.location,
            setup_path=SETUP_PATH,
            setup=node_setup(setup),
            delivery_path=DELIVERY_PATH,
            delivery=delivery_settings(delivery),
            fetch_path=FETCH_PATH,
            fetch=base64.b64encode(gzip.compress(script, 9, mtime=0)).decode(),
        )
    )
    size = len(text.encode())
    if size > USER_DATA_LIMIT:
        raise errors.ProvisioningError(
            f"user data of profile {setup['profile']!r} has {size} bytes, EC2 takes {USER_DATA_LIMIT}: move settings "
            "from the profile's environment into the code bundle"
        )
    return text


def setup_of(text: str) -> dict[str, Any]:
    """Return the node's setup from its user data; raises ProvisioningError when it holds none."""
    try:
        files = yaml.safe_load(text)["write_files"]
        found: dict[str, Any] = json.loads(next(each["content"] for each in files if each["path"] == SETUP_PATH))
    except (yaml.YAMLError, KeyError, TypeError, StopIteration, ValueError) as problem:
        raise errors.ProvisioningError(f"this user data holds no {SETUP_PATH}: it was not rendered here") from problem
    return found


def _quoted(name: str, value: str) -> str:
    """Return an assignment as systemd.syntax(7) and systemd.exec(5) quote it."""
    if any(ord(each) < 32 and each not in "\n\t" for each in value):
        raise errors.ProvisioningError(f"environment.{name} is {value!r}: write it without control characters")
    for plain, escaped in (("\\", "\\\\"), ('"', '\\"'), ("\n", "\\n"), ("\t", "\\t"), ("%", "%%")):
        value = value.replace(plain, escaped)
    return f'"{name}={value}"'


def agent_unit(
    *,
    cluster: str,
    profile: str,
    root: str = ROOT,
    state: str = STATE,
    setup: str = SETUP_PATH,
    user: str = ACCOUNT,
    stop_seconds: int = 120,
    environment: Mapping[str, str] | None = None,
) -> str:
    """Return the systemd unit of the agent; ``stop_seconds``: time to drain at a shutdown."""
    for what, value in (("cluster", cluster), ("profile", profile), ("user", user)):
        _check(what, value, _WORD, "letters, digits, '.', '_' and '-'")
    pairs = []
    for name, value in sorted((environment or {}).items()):
        _check("a name in environment", name, re.compile(r"[A-Za-z_][A-Za-z0-9_]*"), "letters, digits and '_'")
        pairs.append(f"\nEnvironment={_quoted(name, value)}")
    return _environment().get_template("simpleflow-agent.service.j2").render(
        cluster=cluster, profile=profile, root=root, state=state, setup=setup, user=user,
        stop_seconds=stop_seconds, extra_environment="".join(pairs),
    )  # fmt: skip


def again_unit(*, cluster: str) -> str:
    """Return the systemd unit that starts the agent again, five seconds after it failed."""
    _check("cluster", cluster, _WORD, "letters, digits, '.', '_' and '-'")
    return _environment().get_template("simpleflow-agent-again.service.j2").render(cluster=cluster)


def settled_unit(*, cluster: str, root: str = ROOT, delivery: str = DELIVERY_PATH) -> str:
    """Return the systemd unit that resets the decider group's boot counter."""
    _check("cluster", cluster, _WORD, "letters, digits, '.', '_' and '-'")
    return (
        _environment()
        .get_template("simpleflow-boot-settled.service.j2")
        .render(cluster=cluster, root=root, delivery=delivery)
    )
