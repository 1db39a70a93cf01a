"""The instance metadata service, version 2, one per instance below ``/imds/INSTANCE/`` on the account's port."""

from __future__ import annotations

import datetime
import hashlib
import json
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from simpleflow.core import clock as clocks
from simpleflow.testing.cloud.ec2 import instances
from simpleflow.testing.cloud.wire import errors, principals, requests

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

PREFIX = "/imds/"
_STATUS = {200: "200 OK", 400: "400 Bad Request", 401: "401 Unauthorized", 403: "403 Forbidden", 404: "404 Not Found"}


class Metadata:
    """A WSGI application: metadata, user data, identity document, credentials of the profile's role.

    Args:
        clock: the cloud's clock.
        region: the account's region.
        store: the instances.
        directory: gives out the role's credentials.
    """

    def __init__(
        self, clock: clocks.Clock, region: str, store: instances.Instances, directory: principals.Directory
    ) -> None:
        self._clock = clock
        self._region = region
        self._store = store
        self._directory = directory

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        instance_id, _, path = environ["PATH_INFO"].removeprefix(PREFIX).partition("/")
        headers = {k: v for k, v in environ.items() if k.startswith("HTTP_X_")}
        status, body, extra = self.answer(instance_id, environ["REQUEST_METHOD"], path, headers)
        start_response(_STATUS[status], [("Content-Type", "text/plain"), ("Content-Length", str(len(body))), *extra])
        return [body]

    def answer(
        self, instance_id: str, method: str, path: str, headers: dict[str, str]
    ) -> tuple[int, bytes, list[tuple[str, str]]]:
        """Answer one request of one instance: status, body, more headers."""
        try:
            instance = self._store.get(instance_id)
        except errors.ApiError:
            return 404, b"", []
        options = instance.spec.get("MetadataOptions", {})
        if options.get("HttpEndpoint") == "disabled":
            return 403, b"", []
        path = path.strip("/")
        if path == "latest/api/token":
            return self._token(instance, method, headers)
        if method != "GET":
            return 403, b"", []
        token = headers.get("HTTP_X_AWS_EC2_METADATA_TOKEN", "")
        if token and not self._valid(instance, token):
            return 401, b"", []
        if not token and options.get("HttpTokens", "optional") == "required":
            return 401, b"", []
        found = self._find(instance, path)
        return (404, b"", []) if found is None else (200, found, [])

    # --- tokens -------------------------------------------------------------------------------------------------

    def _token(
        self, instance: instances.Instance, method: str, headers: dict[str, str]
    ) -> tuple[int, bytes, list[tuple[str, str]]]:
        if method != "PUT" or "HTTP_X_FORWARDED_FOR" in headers:
            return 403, b"", []
        try:
            lifetime = int(headers.get("HTTP_X_AWS_EC2_METADATA_TOKEN_TTL_SECONDS", ""))
        except ValueError:
            return 400, b"", []
        if not 1 <= lifetime <= 21_600:
            return 400, b"", []
        until = int(self._clock.now()) + lifetime
        header = ("X-aws-ec2-metadata-token-ttl-seconds", str(lifetime))
        return 200, f"{until}-{self._seal(instance, until)}".encode(), [header]

    @staticmethod
    def _seal(instance: instances.Instance, until: int) -> str:
        return hashlib.sha256(f"{instance.id} {until} metadata".encode()).hexdigest()[:40]

    def _valid(self, instance: instances.Instance, token: str) -> bool:
        until, _, seal = token.partition("-")
        return until.isdigit() and int(until) > self._clock.now() and seal == self._seal(instance, int(until))

    # --- the tree -----------------------------------------------------------------------------------------------

    def _find(self, instance: instances.Instance, path: str) -> bytes | None:
        node: Any = self._tree(instance)
        for part in path.split("/") if path else []:
            if not isinstance(node, dict) or part not in node:
                return None
            node = node[part]
        if callable(node):
            node = node()
        if isinstance(node, dict):
            node = "\n".join(f"{k}/" if isinstance(v, dict) else k for k, v in node.items())
        return node if isinstance(node, bytes | None) else str(node).encode()

    def _tree(self, instance: instances.Instance) -> dict[str, Any]:
        host = f"ip-{instance.private_ip.replace('.', '-')}.{self._region}.compute.internal"
        mac = "02:00:" + ":".join(instance.id[-8:][i : i + 2] for i in range(0, 8, 2))
        placement: dict[str, Any] = {
            "availability-zone": instance.zone,
            "availability-zone-id": f"{self._region[:4].replace('-', '')}1-az{ord(instance.zone[-1]) - 96}",
            "region": self._region,
        }
        meta: dict[str, Any] = {
            "ami-id": instance.spec.get("ImageId", ""),
            "ami-launch-index": "0",
            "hostname": host,
            "instance-action": "none",
            "instance-id": instance.id,
            "instance-life-cycle": instance.market,
            "instance-type": instance.type,
            "local-hostname": host,
            "local-ipv4": instance.private_ip,
            "mac": mac,
            "network": {"interfaces": {"macs": {mac: {
                "device-number": "0", "local-ipv4s": instance.private_ip, "mac": mac,
                "subnet-id": instance.subnet, "vpc-id": instance.vpc,
            }}}},
            "placement": placement,
            "reservation-id": instance.reservation,
            "security-groups": "\n".join(instance.groups),
            "services": {"domain": "amazonaws.com", "partition": "aws"},
        }  # fmt: skip
        if instance.spec.get("MetadataOptions", {}).get("InstanceMetadataTags") == "enabled":
            meta["tags"] = {"instance": dict(instance.tags)}
        if instance.interruption is not None:
            meta["spot"] = {
                "instance-action": json.dumps(dict(instance.interruption)),
                "termination-time": instance.interruption["time"],
            }
        if instance.role:
            meta["iam"] = {
                "info": json.dumps({"Code": "Success", "InstanceProfileArn": instance.profile_arn}),
                "security-credentials": {instance.role: lambda: self._credentials(instance)},
            }
        latest: dict[str, Any] = {
            "dynamic": {"instance-identity": {"document": self._document(instance)}},
            "meta-data": meta,
        }
        if instance.user_data:
            latest["user-data"] = instance.user_data
        return {"latest": latest}

    def _credentials(self, instance: instances.Instance) -> str:
        key, secret, token = self._directory.assume(instance.role, instance.id)
        now = datetime.datetime.fromtimestamp(self._clock.now(), datetime.UTC)
        stamp = "%Y-%m-%dT%H:%M:%SZ"
        return json.dumps(
            {
                "Code": "Success",
                "LastUpdated": now.strftime(stamp),
                "Type": "AWS-HMAC",
                "AccessKeyId": key,
                "SecretAccessKey": secret,
                "Token": token,
                "Expiration": (now + datetime.timedelta(hours=6)).strftime(stamp),
            }
        )

    def _document(self, instance: instances.Instance) -> str:
        launched = datetime.datetime.fromtimestamp(instance.launched, datetime.UTC)
        return json.dumps(
            {
                "accountId": requests.ACCOUNT_ID,
                "architecture": "x86_64",
                "availabilityZone": instance.zone,
                "imageId": instance.spec.get("ImageId", ""),
                "instanceId": instance.id,
                "instanceType": instance.type,
                "pendingTime": launched.strftime("%Y-%m-%dT%H:%M:%SZ"),
                "privateIp": instance.private_ip,
                "region": self._region,
                "version": "2017-09-30",
            }
        )
