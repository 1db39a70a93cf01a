"""What moto, which stands behind, is good enough for; and clients that reach the account without a socket."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

import botocore.awsrequest
import botocore.config
import botocore.exceptions

from simpleflow.testing.cloud import errors, models, principals

if TYPE_CHECKING:
    from simpleflow.testing.cloud import gateway

#: Actions of moto that were compared with the documentation and hold. Everything else answers 501.
REHEARSED: dict[str, frozenset[str]] = {
    service: frozenset(actions.split())
    for service, actions in {
        "ec2": """
            CreateTags DeleteTags AssociateVpcCidrBlock DisassociateVpcCidrBlock
            CreateVpc DescribeVpcs DeleteVpc ModifyVpcAttribute
            DescribeVpcAttribute CreateSubnet DescribeSubnets DeleteSubnet ModifySubnetAttribute
            CreateInternetGateway DescribeInternetGateways DeleteInternetGateway
            AttachInternetGateway DetachInternetGateway CreateEgressOnlyInternetGateway
            DescribeEgressOnlyInternetGateways DeleteEgressOnlyInternetGateway CreateRouteTable
            DescribeRouteTables DeleteRouteTable CreateRoute ReplaceRoute DeleteRoute
            AssociateRouteTable DisassociateRouteTable ReplaceRouteTableAssociation
            CreateSecurityGroup DescribeSecurityGroups DeleteSecurityGroup
            AuthorizeSecurityGroupIngress AuthorizeSecurityGroupEgress RevokeSecurityGroupIngress
            RevokeSecurityGroupEgress DescribeSecurityGroupRules CreateVpcEndpoint
            DescribeVpcEndpoints DeleteVpcEndpoints ModifyVpcEndpoint DescribeVpcEndpointServices
            CreateNatGateway DescribeNatGateways DeleteNatGateway AllocateAddress DescribeAddresses
            ReleaseAddress DescribeAvailabilityZones DescribeRegions DescribeInstanceTypes
            DescribeInstanceTypeOfferings DescribeNetworkAcls DescribeDhcpOptions
            DescribeManagedPrefixLists DescribePrefixLists
        """,
        "iam": """
            CreateRole GetRole DeleteRole ListRoles UpdateRole UpdateAssumeRolePolicy PutRolePolicy
            GetRolePolicy DeleteRolePolicy ListRolePolicies AttachRolePolicy DetachRolePolicy
            ListAttachedRolePolicies TagRole UntagRole ListRoleTags UpdateRoleDescription
            PutRolePermissionsBoundary DeleteRolePermissionsBoundary CreateInstanceProfile
            GetInstanceProfile DeleteInstanceProfile ListInstanceProfiles
            ListInstanceProfilesForRole AddRoleToInstanceProfile RemoveRoleFromInstanceProfile
            TagInstanceProfile UntagInstanceProfile CreatePolicy GetPolicy GetPolicyVersion
            DeletePolicy ListPolicies CreatePolicyVersion ListPolicyVersions DeletePolicyVersion
            CreateServiceLinkedRole DeleteServiceLinkedRole
        """,
        "s3": """
            CreateBucket HeadBucket ListBuckets DeleteBucket GetBucketLocation PutObject GetObject
            HeadObject DeleteObject DeleteObjects CopyObject ListObjects ListObjectsV2
            ListObjectVersions CreateMultipartUpload UploadPart CompleteMultipartUpload
            AbortMultipartUpload ListMultipartUploads ListParts PutBucketEncryption
            GetBucketEncryption DeleteBucketEncryption PutPublicAccessBlock GetPublicAccessBlock
            DeletePublicAccessBlock PutBucketLifecycleConfiguration GetBucketLifecycleConfiguration
            DeleteBucketLifecycle PutBucketTagging GetBucketTagging DeleteBucketTagging
            GetObjectTagging PutObjectTagging PutBucketVersioning GetBucketVersioning
            PutBucketOwnershipControls GetBucketOwnershipControls DeleteBucketOwnershipControls
            GetBucketAcl
        """,
        "logs": """
            CreateLogGroup DescribeLogGroups DeleteLogGroup PutRetentionPolicy DeleteRetentionPolicy
            CreateLogStream DescribeLogStreams DeleteLogStream PutLogEvents GetLogEvents
            FilterLogEvents TagResource UntagResource ListTagsForResource TagLogGroup UntagLogGroup
            ListTagsLogGroup
        """,
        "sns": """
            CreateTopic DeleteTopic GetTopicAttributes SetTopicAttributes ListTopics Subscribe
            Unsubscribe ListSubscriptionsByTopic TagResource UntagResource ListTagsForResource
            Publish
        """,
        "ssm": """
            GetParameter GetParameters GetParametersByPath PutParameter DeleteParameter
        """,
        "secretsmanager": """
            CreateSecret GetSecretValue DescribeSecret DeleteSecret
        """,
    }.items()
}

#: ``via`` of the emulator's own look-ups: neither recorded nor struck by faults
LOOKUP = "lookup"


def rehearses(service: str, action: str) -> bool:
    """Tell whether moto may answer this call."""
    return action in REHEARSED.get(service, ())


def _whole(body: Any) -> bytes:
    if body is None:
        return b""
    if hasattr(body, "read"):
        body = body.read()
    return body.encode() if isinstance(body, str) else bytes(body)


def _answer_headers(headers: list[tuple[str, str]]) -> Any:
    return {key.lower(): value for key, value in headers}


class _Body(io.BytesIO):
    def stream(self, amt: int = 65536, decode_content: bool = False) -> Iterator[bytes]:
        while chunk := self.read(amt):
            yield chunk


class _Owner:
    """Whose account a client calls now."""

    def __init__(self, now: Clients) -> None:
        self.now = now


#: clients of the emulator itself, by service, region and via
_SHARED: dict[tuple[str, str, str], tuple[Any, _Owner]] = {}


class Clients:
    """boto3 clients whose calls reach the gateway in this process, through the very same wire.

    Args:
        front: the gateway.
        region: region of the clients.
    """

    def __init__(self, front: gateway.Gateway, region: str) -> None:
        self._front = front
        self._region = region
        self._cache: dict[tuple[str, str, str], Any] = {}

    def client(self, service: str, credentials: principals.Credentials, *, via: str = "") -> Any:
        """Make a client; ``via`` names the service of AWS's that calls on the owner's behalf."""
        known = self._cache.get((service, credentials.key, via))
        if known is not None:
            return known
        # The emulator's own clients are used by one account after the other: making one costs more than most calls.
        shared = bool(via) and credentials.key == principals.ADMIN_KEY
        key = (service, self._region, via)
        client, owner = _SHARED[key] if shared and key in _SHARED else self._make(service, credentials, via)
        if shared:
            _SHARED[key] = client, owner
        owner.now = self
        self._cache[service, credentials.key, via] = client
        return client

    def _make(self, service: str, credentials: principals.Credentials, via: str) -> tuple[Any, _Owner]:
        session: Any = models.session()
        client = session.client(
            service,
            aws_access_key_id=credentials.key,
            aws_secret_access_key=credentials.secret,
            aws_session_token=credentials.token or None,
            region_name=self._region,
            endpoint_url="http://127.0.0.1:1",  # nobody listens there: every request is answered before it is sent
            config=botocore.config.Config(retries={"total_max_attempts": 1}, s3={"addressing_style": "path"}),
        )
        owner = _Owner(self)

        def answer(request: botocore.awsrequest.AWSPreparedRequest, **_: Any) -> botocore.awsrequest.AWSResponse:
            if via:
                request.headers["X-Emulated-Via"] = f"{owner.now._front.secret} {via}"
            return owner.now._call(request)

        client.meta.events.register("before-send", answer)
        return client, owner

    def _call(self, request: botocore.awsrequest.AWSPreparedRequest) -> botocore.awsrequest.AWSResponse:
        url = urlsplit(str(request.url))
        body = _whole(request.body)
        environ: dict[str, Any] = {
            "REQUEST_METHOD": request.method,
            "PATH_INFO": unquote(url.path).encode().decode("latin-1"),
            "QUERY_STRING": url.query,
            "HTTP_HOST": url.netloc,
        }
        for key, value in request.headers.items():
            text = _whole(value).decode()
            name = key.upper().replace("-", "_")
            environ[name if name in ("CONTENT_TYPE", "CONTENT_LENGTH") else f"HTTP_{name}"] = text
        try:
            status, headers, answer = self._front.handle(environ, unquote(url.path), body)
        except errors.LostAnswer as lost:
            raise botocore.exceptions.ConnectionClosedError(endpoint_url=str(request.url)) from lost
        code = int(status.split()[0])
        return botocore.awsrequest.AWSResponse(
            str(request.url),
            code,
            _answer_headers(headers),
            _Body(b"" if request.method == "HEAD" else answer),
        )
