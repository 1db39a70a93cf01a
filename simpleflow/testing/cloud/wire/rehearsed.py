"""What moto, which stands behind, is good enough for."""

from __future__ import annotations

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
