"""S3's bucket policies, kept and enforced by us: moto evaluates them without their conditions."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import botocore.exceptions

from simpleflow.testing.cloud import lookups
from simpleflow.testing.cloud.iam import policies
from simpleflow.testing.cloud.wire import errors, requests

#: the IAM action behind an S3 call, where the names differ
ACTIONS = {
    "HeadObject": "GetObject",
    "HeadBucket": "ListBucket",
    "ListObjects": "ListBucket",
    "ListObjectsV2": "ListBucket",
    "ListBuckets": "ListAllMyBuckets",
    "ListObjectVersions": "ListBucketVersions",
    "CopyObject": "PutObject",
    "DeleteObjects": "DeleteObject",
    "CreateMultipartUpload": "PutObject",
    "UploadPart": "PutObject",
    "CompleteMultipartUpload": "PutObject",
    "ListParts": "ListMultipartUploadParts",
    "ListMultipartUploads": "ListBucketMultipartUploads",
    "PutBucketEncryption": "PutEncryptionConfiguration",
    "GetBucketEncryption": "GetEncryptionConfiguration",
    "PutPublicAccessBlock": "PutBucketPublicAccessBlock",
    "GetPublicAccessBlock": "GetBucketPublicAccessBlock",
    "PutBucketLifecycleConfiguration": "PutLifecycleConfiguration",
    "GetBucketLifecycleConfiguration": "GetLifecycleConfiguration",
    "DeleteBucketLifecycle": "PutLifecycleConfiguration",
}


def action_of(call: str) -> str:
    """The IAM action of an S3 call, such as ``s3:GetObject`` of ``HeadObject``."""
    return "s3:" + ACTIONS.get(call, call)


def resource_of(params: Mapping[str, Any]) -> str | None:
    """The ARN that an S3 call is about."""
    if "Bucket" not in params:
        return None
    return f"arn:aws:s3:::{params['Bucket']}" + (f"/{params['Key']}" if "Key" in params else "")


class Buckets:
    """Bucket policies.

    Args:
        behind: reads what moto has.
    """

    def __init__(self, behind: lookups.Lookups) -> None:
        self._behind = behind
        self._policies: dict[str, str] = {}

    @requests.handles("s3:PutBucketPolicy")
    def put(self, request: requests.Request) -> requests.Raw:
        """Keep a bucket's policy; what S3 calls malformed is refused."""
        bucket = self._bucket(request)
        try:
            document = json.loads(request.body)
            statements = policies.statements_of(document)
            good = bool(statements) and all(
                "Principal" in one
                and one.get("Effect") in ("Allow", "Deny")
                and ("Action" in one or "NotAction" in one)
                and ("Resource" in one or "NotResource" in one)
                for one in statements
            )
        except (ValueError, AttributeError):
            good = False
        if not good:
            raise errors.ApiError(
                "MalformedPolicy", "Policies must be valid JSON and have a Principal, Action and Resource"
            )
        prefix = f"arn:aws:s3:::{bucket}"
        for one in statements:
            resources = [one.get("Resource", one.get("NotResource"))]
            for resource in resources[0] if isinstance(resources[0], list) else resources:
                if resource != prefix and not str(resource).startswith(prefix + "/"):
                    raise errors.ApiError("MalformedPolicy", "Policy has invalid resource")
        self._policies[bucket] = request.body.decode()
        return requests.Raw(status=204)

    @requests.handles("s3:GetBucketPolicy")
    def get(self, request: requests.Request) -> requests.Raw:
        """A bucket's policy."""
        bucket = self._bucket(request)
        if bucket not in self._policies:
            raise errors.ApiError("NoSuchBucketPolicy", "The bucket policy does not exist", 404)
        return requests.Raw(body=self._policies[bucket].encode())

    @requests.handles("s3:DeleteBucketPolicy")
    def delete(self, request: requests.Request) -> requests.Raw:
        """Remove a bucket's policy; none is not an error."""
        self._policies.pop(self._bucket(request), None)
        return requests.Raw(status=204)

    def _bucket(self, request: requests.Request) -> str:
        bucket = str(request.params["Bucket"])
        if not self._behind.has_bucket(bucket):
            raise errors.ApiError("NoSuchBucket", "The specified bucket does not exist", 404)
        return bucket

    def guard(self, request: requests.Request) -> None:
        """Refuse an S3 call that the bucket's policy denies. TLS is taken as given: a rehearsal cannot show it."""
        if request.service != "s3":
            return
        bucket = str(request.params.get("Bucket", ""))
        if request.action == "DeleteBucket":
            self._after_deletion(bucket)
        text = self._policies.get(bucket)
        if text is None or request.action in ("PutBucketPolicy", "DeleteBucketPolicy", "GetBucketPolicy"):
            return
        verdict = policies.verdict(
            policies.statements_of(json.loads(text)),
            action=action_of(request.action),
            resource=resource_of(request.params),
            context=context_of(request),
            principal=request.principal.arn,
        )
        if verdict == "deny":
            raise errors.ApiError("AccessDenied", "Access Denied", 403)

    def _after_deletion(self, bucket: str) -> None:
        """A bucket that is recreated has no policy."""
        try:
            empty = self._behind.is_empty(bucket)
        except botocore.exceptions.ClientError:
            return
        if empty:
            self._policies.pop(bucket, None)


def context_of(request: requests.Request) -> dict[str, str]:
    """Condition keys of a call, in lower case."""
    found = {
        "aws:securetransport": "true",
        "aws:principalarn": request.principal.arn,
        "aws:requestedregion": request.region,
        "aws:principalaccount": requests.ACCOUNT_ID,
        "aws:username": request.principal.arn.rpartition("/")[2],
    }
    if request.principal.session:
        # the id of an instance profile's session is ROLEID:INSTANCE
        found["aws:userid"] = f"{request.principal.role}:{request.principal.session}"
        found["ec2:sourceinstancearn"] = (
            f"arn:aws:ec2:{request.region}:{requests.ACCOUNT_ID}:instance/{request.principal.session}"
        )
    headers = {
        "s3:x-amz-server-side-encryption": "x-amz-server-side-encryption",
        "s3:if-none-match": "if-none-match",
        "s3:if-match": "if-match",
        "s3:x-amz-acl": "x-amz-acl",
    }
    found |= {key: request.headers[name] for key, name in headers.items() if name in request.headers}
    if "Prefix" in request.params:
        found["s3:prefix"] = str(request.params["Prefix"])
    return found
