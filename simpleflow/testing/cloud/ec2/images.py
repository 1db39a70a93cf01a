"""Machine images: public ones by SSM parameter, and our own by EBS direct snapshots, every rule of theirs checked."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from typing import Any

from simpleflow.core import clock as clocks
from simpleflow.testing.cloud import lookups
from simpleflow.testing.cloud.ec2 import capacity, filters, launch_templates
from simpleflow.testing.cloud.wire import codec, errors, ids, requests

BLOCK = 524_288
#: public SSM parameters of distributions that moto does not carry
PUBLIC_PARAMETERS = {
    "/aws/service/debian/release/12/latest/amd64": "ami-0debb1212121212aa",
    "/aws/service/debian/release/12/latest/arm64": "ami-0debb1212121212bb",
    "/aws/service/debian/release/13/latest/amd64": "ami-0debb1313131313aa",
    "/aws/service/debian/release/13/latest/arm64": "ami-0debb1313131313bb",
    "/aws/service/canonical/ubuntu/server/24.04/stable/current/amd64/hvm/ebs-gp3/ami-id": "ami-0bbb2404240424040",
}


class Images:
    """DescribeImages, RegisterImage, the EBS direct calls, and the public parameters that name images.

    Args:
        clock: the cloud's clock.
        maker: makes ids.
        behind: reads what moto has.
    """

    def __init__(self, clock: clocks.Clock, maker: ids.Ids, behind: lookups.Lookups) -> None:
        self._clock = clock
        self._ids = maker
        self._behind = behind
        self._created = clock.now() - 30 * 86_400
        self._amazon_linux = False
        self._images = {image: _public(image, name, self._created) for name, image in PUBLIC_PARAMETERS.items()}
        self._snapshots: dict[str, _Snapshot] = {}

    def check(self, image_id: str) -> None:
        """Raise ApiError for an image that a launch cannot use."""
        if image_id in self._images:
            return None
        if not capacity.looks_like_image(image_id):
            raise errors.ApiError("InvalidAMIID.Malformed", f'Invalid id: "{image_id}" (expecting "ami-...")')
        if not self._amazon_linux:
            self._amazon_linux = True
            for found, name in self._behind.public_images().items():
                self._images[found] = _public(found, name, self._created)
            return self.check(image_id)
        raise errors.ApiError("InvalidAMIID.NotFound", f"The image id '[{image_id}]' does not exist")

    def tagged(self, resource: str) -> dict[str, Any] | None:
        """The image or snapshot of this id, for CreateTags."""
        if resource in self._snapshots:
            return self._snapshots[resource].shown
        return self._images.get(resource)

    # --- public parameters --------------------------------------------------------------------------------------

    @requests.handles("ssm:GetParameter")
    def parameter(self, request: requests.Request) -> Mapping[str, Any]:
        """Answer the public parameters that moto lacks."""
        name = request.params.get("Name", "")
        return {"Parameter": self._parameter(name)} if name in PUBLIC_PARAMETERS else requests.BEHIND

    @requests.handles("ssm:GetParameters")
    def parameters(self, request: requests.Request) -> Mapping[str, Any]:
        """The same for several names; names of both kinds in one call go to moto one side, to us the other."""
        names = request.params.get("Names", [])
        ours = [self._parameter(name) for name in names if name in PUBLIC_PARAMETERS]
        if not ours:
            return requests.BEHIND
        others, missing = self._behind.parameters([name for name in names if name not in PUBLIC_PARAMETERS])
        return {"Parameters": [*ours, *others], "InvalidParameters": missing}

    def _parameter(self, name: str) -> dict[str, Any]:
        return {
            "Name": name,
            "Type": "String",
            "Value": PUBLIC_PARAMETERS[name],
            "Version": 1,
            "DataType": "aws:ec2:image",
            "ARN": f"arn:aws:ssm:::parameter{name}",
        }

    # --- images -------------------------------------------------------------------------------------------------

    @requests.handles("ec2:DescribeImages")
    def describe(self, request: requests.Request) -> Mapping[str, Any]:
        """List images by id, owner ``self`` and filters."""
        params = request.params
        asked = params.get("ImageIds", [])
        for one in asked:
            self.check(one)
        found = [i for i in self._images.values() if not asked or i["ImageId"] in asked]
        if "self" in params.get("Owners", []):
            found = [i for i in found if i["OwnerId"] == requests.ACCOUNT_ID]
        by = {
            "name": lambda i: i["Name"],
            "image-id": lambda i: i["ImageId"],
            "state": lambda i: i["State"],
            "architecture": lambda i: i["Architecture"],
            "root-device-type": lambda i: i["RootDeviceType"],
            "virtualization-type": lambda i: i["VirtualizationType"],
        }

        def tags(image: Mapping[str, Any]) -> dict[str, str]:
            return {t["Key"]: t["Value"] for t in image.get("Tags", [])}

        return {"Images": [i for i in found if filters.passes(by, tags, i, params.get("Filters", []))]}

    @requests.handles("ec2:RegisterImage")
    def register(self, request: requests.Request) -> dict[str, Any]:
        """Make an image of completed snapshots, keeping everything that was said of it."""
        params = request.params
        disks = params.get("BlockDeviceMappings", [])
        root = params.get("RootDeviceName")
        if not any(d.get("DeviceName") == root and d.get("Ebs", {}).get("SnapshotId") for d in disks):
            raise errors.ApiError("InvalidBlockDeviceMapping", f"no snapshot is mapped to the root device {root}")
        for disk in disks:
            snapshot = disk.get("Ebs", {}).get("SnapshotId")
            if snapshot and self._snapshot(snapshot).shown["State"] != "completed":
                raise errors.ApiError("InvalidSnapshot.NotFound", f"Snapshot {snapshot} is not completed")
        if any(i["Name"] == params["Name"] and i["OwnerId"] == requests.ACCOUNT_ID for i in self._images.values()):
            raise errors.ApiError("InvalidAMIName.Duplicate", f"AMI name {params['Name']} is already in use")
        image_id = self._ids.make("ami")
        self._images[image_id] = {
            "ImageId": image_id,
            "Name": params["Name"],
            "Description": params.get("Description"),
            "OwnerId": requests.ACCOUNT_ID,
            "State": "available",
            "Public": False,
            "ImageType": "machine",
            "Architecture": params.get("Architecture", "i386"),
            "VirtualizationType": params.get("VirtualizationType", "paravirtual"),
            "RootDeviceType": "ebs",
            "RootDeviceName": root,
            "EnaSupport": bool(params.get("EnaSupport")),
            "BootMode": params.get("BootMode"),
            "ImdsSupport": params.get("ImdsSupport"),
            "TpmSupport": params.get("TpmSupport"),
            "BlockDeviceMappings": disks,
            "CreationDate": codec.iso(self._clock.now()),
            "Tags": _tags(params, "image"),
        }
        return {"ImageId": image_id}

    @requests.handles("ec2:DeregisterImage")
    def deregister(self, request: requests.Request) -> dict[str, Any]:
        """Forget an image; its snapshots stay and cost."""
        self.check(request.params["ImageId"])
        self._images.pop(request.params["ImageId"], None)
        return {"Return": True}

    # --- snapshots by EBS direct --------------------------------------------------------------------------------

    def _snapshot(self, snapshot_id: str) -> _Snapshot:
        found = self._snapshots.get(snapshot_id)
        if found is None:
            raise errors.ApiError("InvalidSnapshot.NotFound", f"The snapshot '{snapshot_id}' does not exist.")
        return found

    @requests.handles("ebs:StartSnapshot")
    def start_snapshot(self, request: requests.Request) -> requests.Raw:
        """Begin a snapshot of so many GiB."""
        asked = codec.parse_json(request.body)
        token = str(asked.get("ClientToken", ""))
        for known in self._snapshots.values():
            if token and known.token == token:
                return _json(known.started, 201)
        snapshot_id = self._ids.make("snap")
        shown = {
            "SnapshotId": snapshot_id,
            "VolumeSize": asked["VolumeSize"],
            "State": "pending",
            "StartTime": self._clock.now(),
            "OwnerId": requests.ACCOUNT_ID,
            "Description": asked.get("Description"),
            "Encrypted": bool(asked.get("Encrypted", False)),
            "Progress": "0%",
            "Tags": asked.get("Tags", []),
        }
        started = {
            "SnapshotId": snapshot_id, "OwnerId": requests.ACCOUNT_ID, "Status": "pending", "BlockSize": BLOCK,
            "VolumeSize": asked["VolumeSize"], "StartTime": self._clock.now(), "Tags": asked.get("Tags", []),
        }  # fmt: skip
        self._snapshots[snapshot_id] = _Snapshot(token, shown, started)
        return _json(started, 201)

    @requests.handles("ebs:PutSnapshotBlock")
    def put_block(self, request: requests.Request) -> requests.Raw:
        """Take one block of exactly 512 KiB whose SHA-256 is as stated."""
        snapshot = self._pending(request.params["SnapshotId"])
        headers = request.headers
        index = int(request.params["BlockIndex"])
        if len(request.body) != BLOCK or headers.get("x-amz-data-length") != str(BLOCK):
            raise _invalid("INVALID_PARAMETER_VALUE", f"block {index} must hold {BLOCK} bytes, not {len(request.body)}")
        if not 0 <= index < snapshot.shown["VolumeSize"] * 2048:
            raise _invalid(
                "INVALID_BLOCK", f"block {index} lies outside a volume of {snapshot.shown['VolumeSize']} GiB"
            )
        digest = hashlib.sha256(request.body).digest()
        stated = headers.get("x-amz-checksum", "")
        if headers.get("x-amz-checksum-algorithm") != "SHA256" or stated != base64.b64encode(digest).decode():
            raise _invalid("INVALID_PARAMETER_VALUE", f"the checksum of block {index} does not match its data")
        snapshot.blocks[index] = digest
        return requests.Raw(
            status=201, headers={"x-amz-Checksum": stated, "x-amz-Checksum-Algorithm": "SHA256"}, body=b"{}"
        )

    @requests.handles("ebs:CompleteSnapshot")
    def complete(self, request: requests.Request) -> requests.Raw:
        """Seal a snapshot when the count and, where given, the linear checksum agree."""
        snapshot = self._pending(request.params["SnapshotId"])
        headers = request.headers
        count = int(headers.get("x-amz-changedblockscount", "-1"))
        if count != len(snapshot.blocks):
            raise _invalid("INVALID_PARAMETER_VALUE", f"{len(snapshot.blocks)} blocks were written, not {count}")
        stated = headers.get("x-amz-checksum")
        linear = hashlib.sha256(b"".join(snapshot.blocks[n] for n in sorted(snapshot.blocks))).digest()
        if stated is not None and stated != base64.b64encode(linear).decode():
            raise _invalid("INVALID_PARAMETER_VALUE", "the linear checksum does not match the blocks")
        snapshot.shown["State"] = "completed"
        snapshot.shown["Progress"] = "100%"
        return _json({"Status": "completed"}, 202)

    def _pending(self, snapshot_id: str) -> _Snapshot:
        found = self._snapshots.get(snapshot_id)
        if found is None:
            raise errors.ApiError("ResourceNotFoundException", f"snapshot {snapshot_id} does not exist", 404)
        if found.shown["State"] != "pending":
            raise errors.ApiError("ConflictException", f"snapshot {snapshot_id} is completed", 409)
        return found

    @requests.handles("ec2:DescribeSnapshots")
    def describe_snapshots(self, request: requests.Request) -> dict[str, Any]:
        """List our snapshots."""
        asked = request.params.get("SnapshotIds")
        found = [self._snapshot(one) for one in asked] if asked else list(self._snapshots.values())
        return {"Snapshots": [one.shown for one in found]}

    @requests.handles("ec2:DeleteSnapshot")
    def delete_snapshot(self, request: requests.Request) -> dict[str, Any]:
        """Delete a snapshot that no image uses."""
        snapshot_id = request.params["SnapshotId"]
        self._snapshot(snapshot_id)
        for image in self._images.values():
            if any(d.get("Ebs", {}).get("SnapshotId") == snapshot_id for d in image.get("BlockDeviceMappings", [])):
                raise errors.ApiError(
                    "InvalidSnapshot.InUse",
                    f"The snapshot {snapshot_id} is currently in use by {image['ImageId']}",
                )
        del self._snapshots[snapshot_id]
        return {}


class _Snapshot:
    def __init__(self, token: str, shown: dict[str, Any], started: dict[str, Any]) -> None:
        self.token = token
        self.shown = shown
        self.started = started
        self.blocks: dict[int, bytes] = {}


def _json(values: Mapping[str, Any], status: int) -> requests.Raw:
    return requests.Raw(body=json.dumps({k: v for k, v in values.items() if v is not None}).encode(), status=status)


def _invalid(reason: str, message: str) -> errors.ApiError:
    return errors.ApiError("ValidationException", f"{reason}: {message}")


def _tags(params: Mapping[str, Any], kind: str) -> list[dict[str, str]]:
    found = launch_templates.tags_of(params.get("TagSpecifications", []), kind)
    return [{"Key": k, "Value": v} for k, v in found.items()]


def _public(image_id: str, parameter: str, created: float) -> dict[str, Any]:
    return {
        "ImageId": image_id,
        "Name": parameter.strip("/").replace("/", "-"),
        "OwnerId": "136693071363",
        "State": "available",
        "Public": True,
        "ImageType": "machine",
        "Architecture": "arm64" if "arm64" in parameter else "x86_64",
        "VirtualizationType": "hvm",
        "RootDeviceType": "ebs",
        "RootDeviceName": "/dev/xvda",
        "EnaSupport": True,
        "BootMode": "uefi-preferred",
        "BlockDeviceMappings": [{"DeviceName": "/dev/xvda", "Ebs": {"VolumeSize": 8, "VolumeType": "gp3"}}],
        "CreationDate": codec.iso(created),
        "Tags": [],
    }
