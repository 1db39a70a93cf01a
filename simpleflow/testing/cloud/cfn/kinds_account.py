"""Types of IAM, S3, logs, SNS and SSM."""

from __future__ import annotations

from typing import Any

from simpleflow.testing.cloud.cfn import kinds
from simpleflow.testing.cloud.cfn.kinds_network import as_text


class Role(kinds.Kind):
    """AWS::IAM::Role."""

    handled = frozenset(
        {"RoleName", "Path", "Description", "AssumeRolePolicyDocument", "Policies", "ManagedPolicyArns",
         "MaxSessionDuration", "PermissionsBoundary", "Tags"}
    )  # fmt: skip
    mutable = handled - {"RoleName", "Path"}

    def create(self, context: kinds.Context, properties: kinds.Properties) -> kinds.Made:
        iam = context.api("iam")
        name = properties.get("RoleName") or context.name()
        given = kinds.pick(properties, ["Path", "Description", "PermissionsBoundary"])
        if "MaxSessionDuration" in properties:
            given["MaxSessionDuration"] = int(properties["MaxSessionDuration"])
        role = iam.create_role(
            RoleName=name,
            AssumeRolePolicyDocument=as_text(properties["AssumeRolePolicyDocument"]),
            Tags=context.tag_list(properties),
            **given,
        )["Role"]
        self._policies(iam, name, {}, properties)
        return kinds.Made(name, {"Arn": role["Arn"], "RoleId": role["RoleId"]})

    @staticmethod
    def _policies(iam: Any, name: str, old: kinds.Properties, new: kinds.Properties) -> None:
        before = {p["PolicyName"]: p["PolicyDocument"] for p in old.get("Policies", [])}
        after = {p["PolicyName"]: p["PolicyDocument"] for p in new.get("Policies", [])}
        for policy in before.keys() - after.keys():
            iam.delete_role_policy(RoleName=name, PolicyName=policy)
        for policy, document in after.items():
            if before.get(policy) != document:
                iam.put_role_policy(RoleName=name, PolicyName=policy, PolicyDocument=as_text(document))
        managed, wanted = old.get("ManagedPolicyArns", []), new.get("ManagedPolicyArns", [])
        for arn in managed:
            if arn not in wanted:
                iam.detach_role_policy(RoleName=name, PolicyArn=arn)
        for arn in wanted:
            if arn not in managed:
                iam.attach_role_policy(RoleName=name, PolicyArn=arn)

    def update(
        self, context: kinds.Context, physical: str, old: kinds.Properties, new: kinds.Properties
    ) -> dict[str, Any] | None:
        iam = context.api("iam")
        trust = new["AssumeRolePolicyDocument"]
        if trust != old.get("AssumeRolePolicyDocument"):
            iam.update_assume_role_policy(RoleName=physical, PolicyDocument=as_text(trust))
        self._policies(iam, physical, old, new)
        tags = context.tag_list(new)
        lost = {t["Key"] for t in context.tag_list(old)} - {t["Key"] for t in tags}
        if lost:
            iam.untag_role(RoleName=physical, TagKeys=sorted(lost))
        if tags:
            iam.tag_role(RoleName=physical, Tags=tags)
        return None

    def delete(self, context: kinds.Context, physical: str, properties: kinds.Properties) -> None:
        iam = context.api("iam")
        self._policies(iam, physical, properties, {})
        iam.delete_role(RoleName=physical)


class Policy(kinds.Kind):
    """AWS::IAM::Policy and AWS::IAM::RolePolicy: an inline policy of roles."""

    handled = frozenset({"PolicyName", "PolicyDocument", "Roles", "RoleName"})
    mutable = frozenset({"PolicyDocument", "Roles"})

    @staticmethod
    def _roles(properties: kinds.Properties) -> list[str]:
        return [properties["RoleName"]] if "RoleName" in properties else list(properties.get("Roles", []))

    def create(self, context: kinds.Context, properties: kinds.Properties) -> kinds.Made:
        self.update(context, "", {}, properties)
        return kinds.Made(context.name(), {"Id": context.name()})

    def update(
        self, context: kinds.Context, physical: str, old: kinds.Properties, new: kinds.Properties
    ) -> dict[str, Any] | None:
        iam = context.api("iam")
        for role in set(self._roles(old)) - set(self._roles(new)):
            iam.delete_role_policy(RoleName=role, PolicyName=old["PolicyName"])
        for role in self._roles(new):
            iam.put_role_policy(
                RoleName=role, PolicyName=new["PolicyName"], PolicyDocument=as_text(new["PolicyDocument"])
            )
        return None

    def delete(self, context: kinds.Context, physical: str, properties: kinds.Properties) -> None:
        for role in self._roles(properties):
            context.api("iam").delete_role_policy(RoleName=role, PolicyName=properties["PolicyName"])


class InstanceProfile(kinds.Kind):
    """AWS::IAM::InstanceProfile."""

    handled = frozenset({"InstanceProfileName", "Path", "Roles"})
    mutable = frozenset({"Roles"})

    def create(self, context: kinds.Context, properties: kinds.Properties) -> kinds.Made:
        iam = context.api("iam")
        name = properties.get("InstanceProfileName") or context.name(most=128)
        made = iam.create_instance_profile(InstanceProfileName=name, **kinds.pick(properties, ["Path"]))
        self.update(context, name, {}, properties)
        return kinds.Made(name, {"Arn": made["InstanceProfile"]["Arn"]})

    def update(
        self, context: kinds.Context, physical: str, old: kinds.Properties, new: kinds.Properties
    ) -> dict[str, Any] | None:
        iam = context.api("iam")
        for role in old.get("Roles", []):
            if role not in new.get("Roles", []):
                iam.remove_role_from_instance_profile(InstanceProfileName=physical, RoleName=role)
        for role in new.get("Roles", []):
            if role not in old.get("Roles", []):
                iam.add_role_to_instance_profile(InstanceProfileName=physical, RoleName=role)
        return None

    def delete(self, context: kinds.Context, physical: str, properties: kinds.Properties) -> None:
        self.update(context, physical, properties, {})
        context.api("iam").delete_instance_profile(InstanceProfileName=physical)


class Bucket(kinds.Kind):
    """AWS::S3::Bucket."""

    handled = frozenset(
        {"BucketName", "BucketEncryption", "PublicAccessBlockConfiguration", "LifecycleConfiguration",
         "OwnershipControls", "VersioningConfiguration", "Tags"}
    )  # fmt: skip
    mutable = handled - {"BucketName"}

    def create(self, context: kinds.Context, properties: kinds.Properties) -> kinds.Made:
        name = properties.get("BucketName") or context.name(most=63).lower()
        place: dict[str, Any] = {}
        if context.region != "us-east-1":
            place = {"CreateBucketConfiguration": {"LocationConstraint": context.region}}
        context.api("s3").create_bucket(Bucket=name, **place)
        self.update(context, name, {}, properties)
        return kinds.Made(
            name,
            {
                "Arn": f"arn:aws:s3:::{name}",
                "DomainName": f"{name}.s3.amazonaws.com",
                "RegionalDomainName": f"{name}.s3.{context.region}.amazonaws.com",
            },
        )

    def update(
        self, context: kinds.Context, physical: str, old: kinds.Properties, new: kinds.Properties
    ) -> dict[str, Any] | None:
        s3 = context.api("s3")

        def changed(name: str) -> bool:
            return name in new and new[name] != old.get(name)

        if changed("BucketEncryption"):
            rules = [
                {
                    "ApplyServerSideEncryptionByDefault": rule["ServerSideEncryptionByDefault"],
                    **kinds.pick(rule, ["BucketKeyEnabled"]),
                }
                for rule in new["BucketEncryption"]["ServerSideEncryptionConfiguration"]
            ]
            s3.put_bucket_encryption(Bucket=physical, ServerSideEncryptionConfiguration={"Rules": rules})
        if changed("PublicAccessBlockConfiguration"):
            block = {k: kinds.flag(v) for k, v in new["PublicAccessBlockConfiguration"].items()}
            s3.put_public_access_block(Bucket=physical, PublicAccessBlockConfiguration=block)
        if changed("LifecycleConfiguration"):
            rules = [_lifecycle(rule) for rule in new["LifecycleConfiguration"]["Rules"]]
            s3.put_bucket_lifecycle_configuration(Bucket=physical, LifecycleConfiguration={"Rules": rules})
        elif "LifecycleConfiguration" in old and "LifecycleConfiguration" not in new:
            s3.delete_bucket_lifecycle(Bucket=physical)
        if changed("OwnershipControls"):
            s3.put_bucket_ownership_controls(Bucket=physical, OwnershipControls=dict(new["OwnershipControls"]))
        if changed("VersioningConfiguration"):
            s3.put_bucket_versioning(Bucket=physical, VersioningConfiguration=dict(new["VersioningConfiguration"]))
        tags = context.tag_list(new)
        if tags:
            s3.put_bucket_tagging(Bucket=physical, Tagging={"TagSet": tags})
        return None

    def delete(self, context: kinds.Context, physical: str, properties: kinds.Properties) -> None:
        context.api("s3").delete_bucket(Bucket=physical)


def _lifecycle(rule: kinds.Properties) -> dict[str, Any]:
    found: dict[str, Any] = {"Status": rule["Status"], "Filter": {"Prefix": rule.get("Prefix", "")}}
    if "Id" in rule:
        found["ID"] = rule["Id"]
    if "ExpirationInDays" in rule:
        found["Expiration"] = {"Days": int(rule["ExpirationInDays"])}
    if "NoncurrentVersionExpiration" in rule:
        days = int(rule["NoncurrentVersionExpiration"]["NoncurrentDays"])
        found["NoncurrentVersionExpiration"] = {"NoncurrentDays": days}
    if "AbortIncompleteMultipartUpload" in rule:
        days = int(rule["AbortIncompleteMultipartUpload"]["DaysAfterInitiation"])
        found["AbortIncompleteMultipartUpload"] = {"DaysAfterInitiation": days}
    return found


class BucketPolicy(kinds.Kind):
    """AWS::S3::BucketPolicy."""

    handled = frozenset({"Bucket", "PolicyDocument"})
    mutable = frozenset({"PolicyDocument"})

    def create(self, context: kinds.Context, properties: kinds.Properties) -> kinds.Made:
        bucket = properties["Bucket"]
        context.api("s3").put_bucket_policy(Bucket=bucket, Policy=as_text(properties["PolicyDocument"]))
        return kinds.Made(bucket, {})

    def update(
        self, context: kinds.Context, physical: str, old: kinds.Properties, new: kinds.Properties
    ) -> dict[str, Any] | None:
        context.api("s3").put_bucket_policy(Bucket=physical, Policy=as_text(new["PolicyDocument"]))
        return None

    def delete(self, context: kinds.Context, physical: str, properties: kinds.Properties) -> None:
        context.api("s3").delete_bucket_policy(Bucket=physical)


class LogGroup(kinds.Kind):
    """AWS::Logs::LogGroup."""

    handled = frozenset({"LogGroupName", "RetentionInDays", "Tags"})
    mutable = frozenset({"RetentionInDays", "Tags"})

    def create(self, context: kinds.Context, properties: kinds.Properties) -> kinds.Made:
        name = properties.get("LogGroupName") or context.name(most=512)
        tags = {t["Key"]: t["Value"] for t in context.tag_list(properties)}
        context.api("logs").create_log_group(logGroupName=name, **({"tags": tags} if tags else {}))
        self.update(context, name, {}, properties)
        return kinds.Made(name, {"Arn": f"arn:aws:logs:{context.region}:123456789012:log-group:{name}:*"})

    def update(
        self, context: kinds.Context, physical: str, old: kinds.Properties, new: kinds.Properties
    ) -> dict[str, Any] | None:
        days = new.get("RetentionInDays")
        if days is not None:
            context.api("logs").put_retention_policy(logGroupName=physical, retentionInDays=int(days))
        elif "RetentionInDays" in old:
            context.api("logs").delete_retention_policy(logGroupName=physical)
        return None

    def delete(self, context: kinds.Context, physical: str, properties: kinds.Properties) -> None:
        context.api("logs").delete_log_group(logGroupName=physical)


class Topic(kinds.Kind):
    """AWS::SNS::Topic; Ref is its ARN."""

    handled = frozenset({"TopicName", "DisplayName", "Subscription", "Tags"})
    mutable = frozenset({"Tags"})

    def create(self, context: kinds.Context, properties: kinds.Properties) -> kinds.Made:
        sns = context.api("sns")
        name = properties.get("TopicName") or context.name(most=256)
        arn = sns.create_topic(Name=name)["TopicArn"]
        for one in properties.get("Subscription", []):
            sns.subscribe(TopicArn=arn, Protocol=one["Protocol"], Endpoint=one["Endpoint"])
        return kinds.Made(arn, {"TopicArn": arn, "TopicName": name})

    def delete(self, context: kinds.Context, physical: str, properties: kinds.Properties) -> None:
        context.api("sns").delete_topic(TopicArn=physical)


class Parameter(kinds.Kind):
    """AWS::SSM::Parameter."""

    handled = frozenset({"Name", "Type", "Value", "Description"})
    mutable = handled - {"Name"}

    def create(self, context: kinds.Context, properties: kinds.Properties) -> kinds.Made:
        name = properties.get("Name") or context.name()
        context.api("ssm").put_parameter(**{**properties, "Name": name})
        return kinds.Made(name, {"Type": properties["Type"], "Value": properties["Value"]})

    def update(
        self, context: kinds.Context, physical: str, old: kinds.Properties, new: kinds.Properties
    ) -> dict[str, Any] | None:
        context.api("ssm").put_parameter(**{**new, "Name": physical, "Overwrite": True})
        return {"Type": new["Type"], "Value": new["Value"]}

    def delete(self, context: kinds.Context, physical: str, properties: kinds.Properties) -> None:
        context.api("ssm").delete_parameter(Name=physical)


TABLE: dict[str, kinds.Kind] = {
    "AWS::IAM::InstanceProfile": InstanceProfile(),
    "AWS::IAM::Policy": Policy(),
    "AWS::IAM::Role": Role(),
    "AWS::IAM::RolePolicy": Policy(),
    "AWS::Logs::LogGroup": LogGroup(),
    "AWS::S3::Bucket": Bucket(),
    "AWS::S3::BucketPolicy": BucketPolicy(),
    "AWS::SNS::Topic": Topic(),
    "AWS::SSM::Parameter": Parameter(),
}
