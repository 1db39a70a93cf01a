"""Whether machines can reach what the cluster file names: the coordinator and the documents."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator
from urllib.parse import SplitResult, urlsplit

from . import shapes

Problem = tuple[tuple[str, ...], str]

_SERVE = "`simpleflow server start --host ADDRESS --port N --credentials FILE` serves machines"
_ENDPOINT = f"write endpoint: http://ADDRESS:N ({_SERVE}), or https://swf.REGION.amazonaws.com"
_STORE = (
    "write store: s3://BUCKET[/PREFIX] (of any service that speaks S3: set AWS_ENDPOINT_URL_S3 here and in the "
    "environment of profiles and deciders)"
)
#: a name or an IPv4 address of a machine
_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?")
_OTHER = {name: f"machines of {name} are other machines" for name in ("ssh", "ec2")}


def check(config: shapes.ClusterConfig) -> Iterator[Problem]:
    """Yield (path of the key, message) for endpoints and stores that machines cannot reach."""
    if (problem := _form(config.endpoint, "endpoint", ("unix", "http", "https"))) or (
        problem := _form(config.store, "store", ("file", "s3"))
    ):
        yield problem
        return
    if (why := _OTHER.get(config.provider)) and config.endpoint.startswith("unix:"):
        yield ("endpoint",), f"endpoint '{config.endpoint}' is a socket of this machine, and {why}; {_ENDPOINT}"
    if config.provider == "ssh":
        yield from _ssh(config)


def _ssh(config: shapes.ClusterConfig) -> Iterator[Problem]:
    hosts = [host for profile in config.profiles.values() for host in profile.hosts]
    for name, profile in config.profiles.items():
        if not profile.hosts:
            yield (("profiles", name), f"profile '{name}' has no hosts: add hosts: [ADDRESS, ...]")
        for place, host in enumerate(profile.hosts):
            if problem := _host_problem(host, profile.hosts[:place]):
                yield ("profiles", name, "hosts", str(place)), f"profile '{name}': host '{host}' {problem}"
    if _loopback(_host(config.endpoint)) and not all(_loopback(host) for host in hosts):
        yield (
            ("endpoint",),
            (
                f"endpoint '{config.endpoint}' is an address of this machine alone; write the one by which the "
                f"machines reach it ({_SERVE})"
            ),
        )
    if config.store.startswith("file:"):
        yield ("store",), f"store '{config.store}' is a folder of this machine, and {_OTHER['ssh']}; {_STORE}"


def _host_problem(host: str, before: tuple[str, ...]) -> str:
    """Say why ssh cannot take an address; '' when it can."""
    if host in before:
        return "stands twice: a machine is one node; keep one"
    user, at, address = host.rpartition("@")
    if at:
        return f"names a user; write hosts: [{address}] and ssh: {{user: {user}}}"
    name, colon, port = host.rpartition(":")
    if colon and ":" not in name and port.isdigit():
        return f"names a port; write hosts: [{name}] and ssh: {{port: {port}}}"
    if _NAME.fullmatch(host):
        return ""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return "is not an address; write a machine's name or IP address alone"
    return ""


def missing(config: shapes.ClusterConfig) -> Iterator[str]:
    """Say what a cluster needs before it comes up, where its default is of this machine alone."""
    if config.provider != "ssh":
        return
    if not config.endpoint:
        yield f"provider ssh needs an endpoint: the embedded service listens on a socket of this machine; {_ENDPOINT}"
    if not config.store:
        yield f"provider ssh needs a store for documents: the default is a folder of this machine; {_STORE}"


def _form(url: str, key: str, schemes: tuple[str, ...]) -> Problem | None:
    """Say what is wrong with the form of a URL; '' for nothing."""
    if not url:
        return None
    if any(letter.isspace() for letter in url):
        return (key,), f"{key} '{url}' holds a blank; remove it"
    parts = _split(url)
    shown = " or ".join({"unix": "unix:///PATH", "file": "file:///FOLDER", "s3": "s3://BUCKET[/PREFIX]"}.get(
        each, f"{each}://HOST[:PORT]") for each in schemes)  # fmt: skip
    if parts is None or parts.scheme not in schemes:
        return (key,), f"{key} '{url}' is none of {shown}; write one of them"
    if parts.scheme in ("unix", "file") and (parts.netloc or not parts.path.startswith("/")):
        return (key,), f"{key} '{url}' names no path from the root; write {parts.scheme}:///FOLDER/..."
    if parts.scheme not in ("unix", "file") and not parts.netloc:
        return (key,), f"{key} '{url}' names no {'bucket' if parts.scheme == 's3' else 'host'}; write {shown}"
    return None


def _split(url: str) -> SplitResult | None:
    try:
        parts = urlsplit(url)
        _ = parts.port  # read now: a bad one raises
    except ValueError:
        return None
    return parts


def _host(url: str) -> str:
    parts = _split(url)
    return "" if parts is None else parts.hostname or ""


def _loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
