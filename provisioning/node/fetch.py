"""Fetch a node's bundle by digest and hand over to it. Goes into user data: the standard library only, one file.

``python3 fetch.py /etc/simpleflow/delivery.json`` gets the node bundle (units, scripts) from the cluster's bucket,
verifies its SHA-256, unpacks it and runs its ``deliver.py``. S3 requests are signed with the machine's role, read from
instance metadata with a token (AWS: "Signature Version 4", "Use IMDSv2"); ``http(s)://`` and ``file://`` are read as
they are, and trusted as little: the digest decides.
"""

from __future__ import annotations

import hashlib
import hmac
import io
import json
import os
import runpy
import subprocess
import sys
import tarfile
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

METADATA = os.environ.get("AWS_EC2_METADATA_SERVICE_ENDPOINT", "http://169.254.169.254").rstrip("/")
#: tries of one request; the waits between them double from half a second
TRIES = 6


class DeliveryFailed(Exception):
    """A part of the node could not be fetched or is not what was promised."""


def _open(request: urllib.request.Request, timeout: float) -> bytes:
    # Redirects and proxies would send a signed request elsewhere; metadata is link-local.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(request, timeout=timeout) as answer:
        return bytes(answer.read())


def metadata(path: str, token: str) -> str:
    """Read one path of instance metadata."""
    headers = {"X-aws-ec2-metadata-token": token}
    return _open(urllib.request.Request(f"{METADATA}/latest/{path}", headers=headers), 5).decode()  # noqa: S310


def credentials() -> dict[str, str]:
    """Return AccessKeyId, SecretAccessKey and Token of the machine's role."""
    headers = {"X-aws-ec2-metadata-token-ttl-seconds": "300"}
    request = urllib.request.Request(f"{METADATA}/latest/api/token", method="PUT", headers=headers)  # noqa: S310
    token = _open(request, 5).decode()
    role = metadata("meta-data/iam/security-credentials/", token).split()[0]
    found = json.loads(metadata(f"meta-data/iam/security-credentials/{role}", token))
    return {name: str(found[name]) for name in ("AccessKeyId", "SecretAccessKey", "Token")}


def sign(
    method: str,
    url: str,
    region: str,
    service: str,
    keys: dict[str, str],
    body: bytes,
    extra: dict[str, str],
    now: float,
) -> dict[str, str]:
    """Return the headers that sign a request by Signature Version 4 at the moment ``now`` (epoch seconds)."""
    parts = urllib.parse.urlsplit(url)
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(now))
    digest = hashlib.sha256(body).hexdigest()
    headers = {"host": parts.netloc, "x-amz-date": stamp, **{name.lower(): value for name, value in extra.items()}}
    if service == "s3":
        headers["x-amz-content-sha256"] = digest
    if keys.get("Token"):
        headers["x-amz-security-token"] = keys["Token"]
    names = ";".join(sorted(headers))
    canonical = "\n".join(
        [method, parts.path or "/", parts.query, *(f"{name}:{headers[name].strip()}" for name in sorted(headers)),
         "", names, digest]
    )  # fmt: skip
    scope = f"{stamp[:8]}/{region}/{service}/aws4_request"
    text = "\n".join(["AWS4-HMAC-SHA256", stamp, scope, hashlib.sha256(canonical.encode()).hexdigest()])
    key = b"AWS4" + keys["SecretAccessKey"].encode()
    for part in (stamp[:8], region, service, "aws4_request", text):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    headers["authorization"] = (
        f"AWS4-HMAC-SHA256 Credential={keys['AccessKeyId']}/{scope}, SignedHeaders={names}, Signature={key.hex()}"
    )
    del headers["host"]  # urllib writes it
    return headers


def object_url(location: str, region: str, endpoint: str) -> str:
    """Return the https address of 's3://BUCKET/KEY', at ``endpoint`` (path style) where one is given."""
    bucket, _, key = location[len("s3://") :].partition("/")
    path = urllib.parse.quote(key, safe="/-_.~")
    if endpoint:
        return f"{endpoint.rstrip('/')}/{bucket}/{path}"
    suffix = "amazonaws.com.cn" if region.startswith("cn-") else "amazonaws.com"
    return f"https://{bucket}.s3.{region}.{suffix}/{path}"


def call(
    method: str, url: str, region: str, service: str, body: bytes = b"", extra: dict[str, str] | None = None
) -> bytes:
    """Send one signed request, again while the service or the network is not ready; raises DeliveryFailed."""
    problem = ""
    for attempt in range(TRIES):
        if attempt:
            time.sleep(0.5 * 2 ** (attempt - 1))
        try:
            headers = {
                **(extra or {}),
                **sign(method, url, region, service, credentials(), body, extra or {}, time.time()),
            }
            request = urllib.request.Request(url, data=body or None, method=method, headers=headers)  # noqa: S310
            return _open(request, 60)
        except urllib.error.HTTPError as error:
            problem = f"HTTP {error.code}: {error.read()[:500].decode(errors='replace')}"
            # 403 too: a role's policy reaches S3 seconds after the instance got the role.
            if error.code < 500 and error.code not in (403, 429):
                break
        except OSError as error:
            problem = str(error)
    raise DeliveryFailed(f"{method} {url}: {problem}")


def read(location: str, region: str, endpoint: str) -> bytes:
    """Return the content at an s3://, http(s):// or file:// location; raises DeliveryFailed."""
    if location.startswith("s3://"):
        return call("GET", object_url(location, region, endpoint), region, "s3")
    if location.startswith(("http://", "https://", "file://")):
        problem = ""
        for attempt in range(TRIES):
            if attempt:
                time.sleep(0.5 * 2 ** (attempt - 1))
            try:
                return _open(urllib.request.Request(location), 60)  # noqa: S310
            except OSError as error:
                problem = str(error)
        raise DeliveryFailed(f"GET {location}: {problem}")
    raise DeliveryFailed(f"{location!r} is no location: write s3://, https:// or file://")


def part(settings: dict[str, str], name: str) -> bytes:
    """Return one part ('node', 'code') of a delivery after its digest was verified; raises DeliveryFailed."""
    location, wanted = settings[name], settings[f"{name}_sha256"]
    data = read(location, settings.get("region", ""), settings.get("endpoint", ""))
    found = hashlib.sha256(data).hexdigest()
    if found != wanted:
        raise DeliveryFailed(f"{location} has the SHA-256 {found}, the settings say {wanted}: nothing of it was run")
    return data


def unpack(data: bytes, folder: Path) -> None:
    """Unpack a gzipped tar into a folder; raises DeliveryFailed for members that would leave it."""
    with tarfile.open(fileobj=io.BytesIO(data), mode="r:gz") as archive:
        for member in archive.getmembers():
            if member.name.startswith("/") or ".." in member.name.split("/") or not (member.isfile() or member.isdir()):
                raise DeliveryFailed(
                    f"the bundle holds {member.name!r}: only plain files below its folder are unpacked"
                )
        if hasattr(tarfile, "data_filter"):  # Python 3.9 may know no filters; from 3.12 on it minds when none is named
            archive.extraction_filter = tarfile.data_filter
        archive.extractall(folder)  # noqa: S202 (checked above)


def main(arguments: list[str]) -> None:
    """Fetch the node bundle and run it."""
    path = Path(arguments[0])
    settings = json.loads(path.read_text())
    folder = Path(settings["root"]) / "node"
    folder.mkdir(parents=True, exist_ok=True)
    unpack(part(settings, "node"), folder)
    sys.path.insert(0, str(folder))
    sys.argv = [str(folder / "deliver.py"), str(path)]
    runpy.run_path(sys.argv[0], run_name="__main__")


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except (DeliveryFailed, OSError, subprocess.CalledProcessError) as failure:
        print(f"simpleflow: this machine cannot become a node: {failure}", file=sys.stderr)
        sys.exit(1)
