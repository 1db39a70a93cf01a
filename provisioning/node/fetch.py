"""Fetch a node's bundle by digest and run it. This file is part of user data: it uses the standard library only.

``python3 fetch.py /etc/simpleflow/delivery.json`` counts a decider's boot, gets the node bundle from the bucket (signed
by the machine's role), verifies its SHA-256 and runs its ``deliver.py``. Locations other than s3:// are read without a
signature.
"""

from __future__ import annotations

import hashlib
import hmac
import http.client
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
#: looks for the role's keys, which may come minutes after the boot
KEY_TRIES = 24
#: tries to count a boot, a minute apart
COUNT_TRIES = 10
#: failed boots in a row that stop the group
LIMIT = 3
#: path of the settings on a real machine, which is powered off; a rehearsed machine ends with its process
OWN = "/etc/simpleflow/delivery.json"
#: tells deliver.py that the boot was counted
COUNTED = "SIMPLEFLOW_BOOT_COUNTED"


class DeliveryFailed(Exception):
    """A part could not be fetched, or is not the promised one."""


def _open(request: urllib.request.Request, timeout: float) -> bytes:
    # Redirects and proxies would send a signed request elsewhere; metadata is link-local.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=timeout) as answer:
            return bytes(answer.read())
    except http.client.HTTPException as error:  # an answer cut off, or not HTTP
        raise OSError(repr(error)) from error


def metadata(path: str, token: str) -> str:
    """Read one path of instance metadata."""
    headers = {"X-aws-ec2-metadata-token": token}
    return _open(urllib.request.Request(f"{METADATA}/latest/{path}", headers=headers), 5).decode()  # noqa: S310


def credentials() -> dict[str, str]:
    """Return the keys of the machine's role, waiting until metadata has them; raises DeliveryFailed."""
    problem = ""
    for attempt in range(KEY_TRIES):
        if attempt:
            time.sleep(min(0.5 * 2 ** (attempt - 1), 5))
        try:
            return role_keys()
        except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
            problem = f"{type(error).__name__}: {error}"
    raise DeliveryFailed(f"metadata shows no keys of a role: {problem}; has the machine an instance profile?")


def role_keys() -> dict[str, str]:
    """Ask metadata once for the keys."""
    headers = {"X-aws-ec2-metadata-token-ttl-seconds": "300"}
    request = urllib.request.Request(f"{METADATA}/latest/api/token", method="PUT", headers=headers)  # noqa: S310
    token = _open(request, 5).decode()
    role = metadata("meta-data/iam/security-credentials/", token).split()[0]
    found = json.loads(metadata(f"meta-data/iam/security-credentials/{role}", token))
    if found.get("Code", "Success") != "Success":
        raise ValueError(f"{found['Code']}: {found.get('Message', '')}")
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
    """Return the headers that sign a request (Signature Version 4)."""
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
    raise DeliveryFailed(f"{location!r} is not a location: write s3://, https:// or file://")


def part(settings: dict[str, str], name: str) -> bytes:
    """Return one part ('node', 'code') of a delivery with a verified digest; raises DeliveryFailed."""
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
        if hasattr(tarfile, "data_filter"):  # Python 3.9 may lack filters; from 3.12 on it warns without one
            archive.extraction_filter = tarfile.data_filter
        archive.extractall(folder)  # noqa: S202 (checked above)


def say(text: str) -> None:
    """Write to the boot's log."""
    print(f"simpleflow: {text}", file=sys.stderr, flush=True)


def boots(settings: dict[str, str]) -> int:
    """Return the boots in a row that did not reset the counter."""
    url = object_url(settings["boot_counter"], settings["region"], settings.get("endpoint", ""))
    try:
        return int(json.loads(call("GET", url, settings["region"], "s3"))["boots"])
    except DeliveryFailed as problem:
        # Without s3:ListBucket an absent object is answered with 403.
        if "HTTP 404" in str(problem) or "HTTP 403" in str(problem):
            return 0
        raise


def set_boots(settings: dict[str, str], number: int, reason: str = "") -> None:
    """Replace the counter."""
    url = object_url(settings["boot_counter"], settings["region"], settings.get("endpoint", ""))
    body = json.dumps({"boots": number, "written": time.time(), "reason": reason}).encode()
    call("PUT", url, settings["region"], "s3", body, {"content-type": "application/json"})


def query(settings: dict[str, str], service: str, version: str, action: str, parameters: dict[str, str]) -> None:
    """Make one call of AWS's query protocol."""
    default = f"https://{service}.{settings['region']}.amazonaws.com/"
    host = {"monitoring": "cloudwatch"}.get(service, service)
    url = settings.get(f"{host}_endpoint") or default
    body = urllib.parse.urlencode({"Action": action, "Version": version, **parameters}).encode()
    form = {"content-type": "application/x-www-form-urlencoded; charset=utf-8"}
    call("POST", url, settings["region"], service, body, form)


def trip(settings: dict[str, str], number: int) -> None:
    """Suspend the group's launches and raise the alarm."""
    reason = f"{number} boots in a row failed; 'sfnodes up' resumes after the cause is repaired"
    say(reason)
    group = {"AutoScalingGroupName": settings["group"], "ScalingProcesses.member.1": "Launch"}
    state = {"AlarmName": settings.get("alarm", ""), "StateValue": "ALARM", "StateReason": reason}
    calls = [("autoscaling", "2011-01-01", "SuspendProcesses", group)]
    if settings.get("alarm"):
        calls.append(("monitoring", "2010-08-01", "SetAlarmState", state))
    for service, version, action, parameters in calls:
        try:
            query(settings, service, version, action, parameters)
        except DeliveryFailed as problem:
            say(str(problem))


def count_boot(settings: dict[str, str]) -> None:
    """Count this boot; stop the group when the three boots before it failed."""
    number = boots(settings) + 1
    set_boots(settings, number)
    if number > LIMIT:
        trip(settings, number - 1)


def failed_boot(settings: dict[str, str], reason: str = "") -> None:
    """Store the reason of a failed boot; stop the group when it is the third in a row."""
    number = boots(settings)
    set_boots(settings, number, reason[-2000:])
    if number >= LIMIT:
        trip(settings, number)


def count_first(settings: dict[str, str]) -> None:
    """Count this boot, with many tries: a machine that cannot be counted is replaced, again and again."""
    for attempt in range(COUNT_TRIES):
        try:
            count_boot(settings)
            return
        except DeliveryFailed as problem:
            say(f"this boot cannot be counted: {problem}")
            if attempt == COUNT_TRIES - 1:
                raise
            time.sleep(60)


def give_up(path: Path, settings: dict[str, str], problem: BaseException) -> None:
    """Log the reason, count the failed boot, and power off: EC2 terminates the machine then."""
    message = f"this machine cannot become a node: {problem}"
    say(message)
    if settings.get("boot_counter"):
        try:
            failed_boot(settings, message)
        except DeliveryFailed as second:
            say(str(second))
    power_off(path)


def power_off(path: Path) -> None:
    """End this machine."""
    say("powering off")
    if str(path) == OWN:
        subprocess.run(["systemctl", "poweroff"], check=False)
    sys.exit(0)


def main(arguments: list[str]) -> None:
    """Count the boot, fetch the bundle, run it."""
    path = Path(arguments[0])
    settings = json.loads(path.read_text())
    try:
        if settings.get("boot_counter"):
            count_first(settings)
            os.environ[COUNTED] = "1"
        fetched(path, settings)
    except (DeliveryFailed, OSError, subprocess.CalledProcessError, tarfile.TarError, ValueError) as problem:
        give_up(path, settings, problem)


def fetched(path: Path, settings: dict[str, str]) -> None:
    """Fetch the node bundle and run its ``deliver.py``."""
    folder = Path(settings["root"]) / "node"
    folder.mkdir(parents=True, exist_ok=True)
    unpack(part(settings, "node"), folder)
    sys.path.insert(0, str(folder))
    sys.argv = [str(folder / "deliver.py"), str(path)]
    runpy.run_path(sys.argv[0], run_name="__main__")


if __name__ == "__main__":
    main(sys.argv[1:])
