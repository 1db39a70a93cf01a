"""The cluster's bucket: documents, code, payloads. Encrypted, TLS only, closed to the public, kept by ``down``."""

from __future__ import annotations

from troposphere import GetAtt, Ref, Sub, Tags, Template, s3

from . import values

#: where user data, agents and deciders find things below the bucket
CODE_PREFIX = "code/"
BOOTS_PREFIX = "boots/"
#: templates over CloudFormation's limit for direct ones are uploaded here
TEMPLATES_PREFIX = "templates/"
#: values over SWF's limits
VALUES_PREFIX = "blobs/"
#: days after which no history refers to a value: an execution takes a year at most, a history is kept for 90 days
VALUES_DAYS = 366 + 90


def add(template: Template, cluster: values.Cluster) -> None:
    """Add the bucket and its policy. Its name is CloudFormation's to make: a fixed one could be someone else's."""
    bucket = template.add_resource(
        s3.Bucket(
            "Bucket",
            BucketEncryption=s3.BucketEncryption(
                ServerSideEncryptionConfiguration=[
                    s3.ServerSideEncryptionRule(
                        ServerSideEncryptionByDefault=s3.ServerSideEncryptionByDefault(SSEAlgorithm="AES256")
                    )
                ]
            ),
            PublicAccessBlockConfiguration=s3.PublicAccessBlockConfiguration(
                BlockPublicAcls=True, BlockPublicPolicy=True, IgnorePublicAcls=True, RestrictPublicBuckets=True
            ),
            OwnershipControls=s3.OwnershipControls(
                Rules=[s3.OwnershipControlsRule(ObjectOwnership="BucketOwnerEnforced")]
            ),
            LifecycleConfiguration=s3.LifecycleConfiguration(
                Rules=[
                    s3.LifecycleRule(
                        Id="unfinished-uploads",
                        Status="Enabled",
                        AbortIncompleteMultipartUpload=s3.AbortIncompleteMultipartUpload(DaysAfterInitiation=3),
                    ),
                    s3.LifecycleRule(Id="values", Status="Enabled", Prefix=VALUES_PREFIX, ExpirationInDays=VALUES_DAYS),
                ]
            ),
            Tags=Tags(values.tags_of(cluster)),
            DeletionPolicy="Retain",
            UpdateReplacePolicy="Retain",
        )
    )
    template.add_resource(
        s3.BucketPolicy(
            "BucketPolicy",
            Bucket=Ref(bucket),
            PolicyDocument={
                "Version": "2012-10-17",
                "Statement": [
                    {
                        "Sid": "TlsOnly",
                        "Effect": "Deny",
                        "Principal": "*",
                        "Action": "s3:*",
                        "Resource": [GetAtt(bucket, "Arn"), Sub("${Bucket.Arn}/*")],
                        "Condition": {"Bool": {"aws:SecureTransport": "false"}},
                    }
                ],
            },
            DeletionPolicy="Retain",
            UpdateReplacePolicy="Retain",
        )
    )
