"""The network's types."""

from __future__ import annotations

import json
from typing import Any

from simpleflow.testing.cloud.cfn import kinds


class Vpc(kinds.Ec2Thing):
    """AWS::EC2::VPC."""

    create_call, delete_call, by, path, tag_kind = "create_vpc", "delete_vpc", "VpcId", "Vpc.VpcId", "vpc"
    passed = frozenset({"CidrBlock", "InstanceTenancy"})
    handled = passed | {"EnableDnsSupport", "EnableDnsHostnames", "Tags"}
    mutable = frozenset({"EnableDnsSupport", "EnableDnsHostnames", "Tags"})

    def create(self, context: kinds.Context, properties: kinds.Properties) -> kinds.Made:
        made = super().create(context, properties)
        ec2 = context.api("ec2")
        wanted = [{"Name": "vpc-id", "Values": [made.physical]}]
        groups = ec2.describe_security_groups(Filters=wanted)["SecurityGroups"]
        return kinds.Made(
            made.physical,
            {
                "VpcId": made.physical,
                "CidrBlock": properties["CidrBlock"],
                "DefaultSecurityGroup": groups[0]["GroupId"],
                "DefaultNetworkAcl": ec2.describe_network_acls(Filters=wanted)["NetworkAcls"][0]["NetworkAclId"],
                "CidrBlockAssociations": [],
                "Ipv6CidrBlocks": [],
            },
        )

    def read(self, context: kinds.Context, physical: str) -> dict[str, Any]:
        vpc = context.api("ec2").describe_vpcs(VpcIds=[physical])["Vpcs"][0]
        return {"Ipv6CidrBlocks": [one["Ipv6CidrBlock"] for one in vpc.get("Ipv6CidrBlockAssociationSet", [])]}

    def finish(self, context: kinds.Context, physical: str, properties: kinds.Properties) -> None:
        for name in ("EnableDnsSupport", "EnableDnsHostnames"):
            if name in properties:
                value = {"Value": kinds.flag(properties[name])}
                context.api("ec2").modify_vpc_attribute(VpcId=physical, **{name: value})


class VpcCidrBlock(kinds.Kind):
    """AWS::EC2::VPCCidrBlock."""

    handled = frozenset({"VpcId", "AmazonProvidedIpv6CidrBlock", "CidrBlock"})

    def create(self, context: kinds.Context, properties: kinds.Properties) -> kinds.Made:
        given = dict(properties)
        if "AmazonProvidedIpv6CidrBlock" in given:
            given["AmazonProvidedIpv6CidrBlock"] = kinds.flag(given["AmazonProvidedIpv6CidrBlock"])
        made = context.api("ec2").associate_vpc_cidr_block(**given)
        association = made.get("Ipv6CidrBlockAssociation") or made["CidrBlockAssociation"]
        return kinds.Made(association["AssociationId"], {"Id": association["AssociationId"]})

    def touched(self, properties: kinds.Properties) -> str:
        return str(properties["VpcId"])

    def delete(self, context: kinds.Context, physical: str, properties: kinds.Properties) -> None:
        context.api("ec2").disassociate_vpc_cidr_block(AssociationId=physical)


class Subnet(kinds.Ec2Thing):
    """AWS::EC2::Subnet."""

    create_call, delete_call, by, path = "create_subnet", "delete_subnet", "SubnetId", "Subnet.SubnetId"
    tag_kind = "subnet"
    passed = frozenset({"VpcId", "CidrBlock", "AvailabilityZone", "Ipv6CidrBlock"})
    handled = passed | {"MapPublicIpOnLaunch", "AssignIpv6AddressOnCreation", "Tags"}
    mutable = frozenset({"MapPublicIpOnLaunch", "AssignIpv6AddressOnCreation", "Tags"})
    attributes = {
        "SubnetId": "Subnet.SubnetId",
        "VpcId": "Subnet.VpcId",
        "AvailabilityZone": "Subnet.AvailabilityZone",
        "CidrBlock": "Subnet.CidrBlock",
    }

    def finish(self, context: kinds.Context, physical: str, properties: kinds.Properties) -> None:
        for name in ("MapPublicIpOnLaunch", "AssignIpv6AddressOnCreation"):
            if name in properties:
                value = {"Value": kinds.flag(properties[name])}
                context.api("ec2").modify_subnet_attribute(SubnetId=physical, **{name: value})


class InternetGateway(kinds.Ec2Thing):
    """AWS::EC2::InternetGateway."""

    create_call, delete_call, by = "create_internet_gateway", "delete_internet_gateway", "InternetGatewayId"
    path, tag_kind = "InternetGateway.InternetGatewayId", "internet-gateway"
    attributes = {"InternetGatewayId": path}
    handled = mutable = frozenset({"Tags"})


class EgressOnlyGateway(kinds.Ec2Thing):
    """AWS::EC2::EgressOnlyInternetGateway."""

    create_call, delete_call = "create_egress_only_internet_gateway", "delete_egress_only_internet_gateway"
    by, path = "EgressOnlyInternetGatewayId", "EgressOnlyInternetGateway.EgressOnlyInternetGatewayId"
    tag_kind = "egress-only-internet-gateway"
    attributes = {"Id": path}
    passed = frozenset({"VpcId"})
    handled = passed | {"Tags"}
    mutable = frozenset({"Tags"})


class GatewayAttachment(kinds.Kind):
    """AWS::EC2::VPCGatewayAttachment."""

    handled = frozenset({"VpcId", "InternetGatewayId"})

    def create(self, context: kinds.Context, properties: kinds.Properties) -> kinds.Made:
        context.api("ec2").attach_internet_gateway(**kinds.pick(properties, sorted(self.handled)))
        return kinds.Made(f"IGW|{properties['VpcId']}", {"AttachmentType": "IGW"})

    def delete(self, context: kinds.Context, physical: str, properties: kinds.Properties) -> None:
        context.api("ec2").detach_internet_gateway(**kinds.pick(properties, sorted(self.handled)))


class RouteTable(kinds.Ec2Thing):
    """AWS::EC2::RouteTable."""

    create_call, delete_call, by = "create_route_table", "delete_route_table", "RouteTableId"
    path, tag_kind = "RouteTable.RouteTableId", "route-table"
    attributes = {"RouteTableId": path}
    passed = frozenset({"VpcId"})
    handled = passed | {"Tags"}
    mutable = frozenset({"Tags"})


_TARGETS = frozenset({"GatewayId", "NatGatewayId", "EgressOnlyInternetGatewayId"})


class Route(kinds.Kind):
    """AWS::EC2::Route."""

    handled = frozenset({"RouteTableId", "DestinationCidrBlock", "DestinationIpv6CidrBlock"}) | _TARGETS
    mutable = _TARGETS

    def create(self, context: kinds.Context, properties: kinds.Properties) -> kinds.Made:
        context.api("ec2").create_route(**properties)
        to = properties.get("DestinationCidrBlock") or properties.get("DestinationIpv6CidrBlock")
        return kinds.Made(f"{properties['RouteTableId']}|{to}", {"CidrBlock": to})

    def update(
        self, context: kinds.Context, physical: str, old: kinds.Properties, new: kinds.Properties
    ) -> dict[str, Any] | None:
        context.api("ec2").replace_route(**new)
        return None

    def delete(self, context: kinds.Context, physical: str, properties: kinds.Properties) -> None:
        names = ("RouteTableId", "DestinationCidrBlock", "DestinationIpv6CidrBlock")
        context.api("ec2").delete_route(**kinds.pick(properties, names))


class RouteTableAssociation(kinds.Kind):
    """AWS::EC2::SubnetRouteTableAssociation."""

    handled = frozenset({"RouteTableId", "SubnetId"})

    def create(self, context: kinds.Context, properties: kinds.Properties) -> kinds.Made:
        made = context.api("ec2").associate_route_table(**properties)["AssociationId"]
        return kinds.Made(made, {"Id": made})

    def delete(self, context: kinds.Context, physical: str, properties: kinds.Properties) -> None:
        context.api("ec2").disassociate_route_table(AssociationId=physical)


class SecurityGroup(kinds.Kind):
    """AWS::EC2::SecurityGroup, rules inline. A given egress replaces the rule that EC2 adds by itself."""

    handled = frozenset(
        {"GroupDescription", "GroupName", "VpcId", "SecurityGroupIngress", "SecurityGroupEgress", "Tags"}
    )
    mutable = frozenset({"SecurityGroupIngress", "SecurityGroupEgress", "Tags"})

    def create(self, context: kinds.Context, properties: kinds.Properties) -> kinds.Made:
        ec2 = context.api("ec2")
        made = ec2.create_security_group(
            GroupName=properties.get("GroupName") or context.name(most=255),
            Description=properties["GroupDescription"],
            **kinds.pick(properties, ["VpcId"]),
            **context.specification("security-group", properties),
        )["GroupId"]
        self._rules(ec2, made, properties, {"SecurityGroupEgress": [_EVERYWHERE]})
        return kinds.Made(made, {"GroupId": made, "Id": made, "VpcId": properties.get("VpcId", "")})

    @staticmethod
    def _rules(ec2: Any, group: str, new: kinds.Properties, old: kinds.Properties) -> None:
        for name, way in (("SecurityGroupIngress", "ingress"), ("SecurityGroupEgress", "egress")):
            before, after = old.get(name, []), new.get(name, old.get(name, []))
            lost = [_permission(rule) for rule in before if rule not in after]
            added = [_permission(rule) for rule in after if rule not in before]
            if lost:
                getattr(ec2, f"revoke_security_group_{way}")(GroupId=group, IpPermissions=lost)
            if added:
                getattr(ec2, f"authorize_security_group_{way}")(GroupId=group, IpPermissions=added)

    def update(
        self, context: kinds.Context, physical: str, old: kinds.Properties, new: kinds.Properties
    ) -> dict[str, Any] | None:
        whole = {"SecurityGroupEgress": [_EVERYWHERE], "SecurityGroupIngress": []}
        self._rules(context.api("ec2"), physical, {**whole, **new}, {**whole, **old})
        kinds.retag(context, physical, old, new)
        return None

    def delete(self, context: kinds.Context, physical: str, properties: kinds.Properties) -> None:
        context.api("ec2").delete_security_group(GroupId=physical)


_EVERYWHERE = {"IpProtocol": "-1", "CidrIp": "0.0.0.0/0"}


def _permission(rule: kinds.Properties) -> dict[str, Any]:
    permission: dict[str, Any] = {"IpProtocol": str(rule["IpProtocol"])}
    permission |= {name: int(rule[name]) for name in ("FromPort", "ToPort") if name in rule}
    about = {"Description": rule["Description"]} if "Description" in rule else {}
    if "CidrIp" in rule:
        permission["IpRanges"] = [{"CidrIp": rule["CidrIp"], **about}]
    if "CidrIpv6" in rule:
        permission["Ipv6Ranges"] = [{"CidrIpv6": rule["CidrIpv6"], **about}]
    for name in ("SourceSecurityGroupId", "DestinationSecurityGroupId"):
        if name in rule:
            permission["UserIdGroupPairs"] = [{"GroupId": rule[name], **about}]
    for name in ("SourcePrefixListId", "DestinationPrefixListId"):
        if name in rule:
            permission["PrefixListIds"] = [{"PrefixListId": rule[name], **about}]
    return permission


_RULE = frozenset({"GroupId", "IpProtocol", "FromPort", "ToPort", "CidrIp", "CidrIpv6", "Description"})


class Ingress(kinds.Kind):
    """AWS::EC2::SecurityGroupIngress."""

    handled = _RULE | {"SourceSecurityGroupId", "SourcePrefixListId"}
    way = "ingress"

    def create(self, context: kinds.Context, properties: kinds.Properties) -> kinds.Made:
        call = getattr(context.api("ec2"), f"authorize_security_group_{self.way}")
        call(GroupId=properties["GroupId"], IpPermissions=[_permission(properties)])
        return kinds.Made(context.name(), {"Id": context.name()})

    def delete(self, context: kinds.Context, physical: str, properties: kinds.Properties) -> None:
        call = getattr(context.api("ec2"), f"revoke_security_group_{self.way}")
        call(GroupId=properties["GroupId"], IpPermissions=[_permission(properties)])


class Egress(Ingress):
    """AWS::EC2::SecurityGroupEgress."""

    handled = _RULE | {"DestinationSecurityGroupId", "DestinationPrefixListId"}
    way = "egress"


class VpcEndpoint(kinds.Ec2Thing):
    """AWS::EC2::VPCEndpoint."""

    create_call, path, tag_kind = "create_vpc_endpoint", "VpcEndpoint.VpcEndpointId", "vpc-endpoint"
    attributes = {"Id": path}
    passed = frozenset(
        {"VpcId", "ServiceName", "VpcEndpointType", "RouteTableIds", "SubnetIds", "SecurityGroupIds",
         "PrivateDnsEnabled", "PolicyDocument"}
    )  # fmt: skip
    handled = passed | {"Tags"}
    mutable = frozenset({"Tags"})

    def shaped(self, given: dict[str, Any]) -> dict[str, Any]:
        if "PolicyDocument" in given:
            given["PolicyDocument"] = as_text(given["PolicyDocument"])
        return given

    def delete(self, context: kinds.Context, physical: str, properties: kinds.Properties) -> None:
        context.api("ec2").delete_vpc_endpoints(VpcEndpointIds=[physical])


class Address(kinds.Ec2Thing):
    """AWS::EC2::EIP."""

    create_call, delete_call, by, path = "allocate_address", "release_address", "AllocationId", "AllocationId"
    tag_kind = "elastic-ip"
    attributes = {"AllocationId": "AllocationId", "PublicIp": "PublicIp"}
    passed = frozenset({"Domain"})
    handled = passed | {"Tags"}
    mutable = frozenset({"Tags"})


class NatGateway(kinds.Ec2Thing):
    """AWS::EC2::NatGateway."""

    create_call, delete_call, by = "create_nat_gateway", "delete_nat_gateway", "NatGatewayId"
    path, tag_kind = "NatGateway.NatGatewayId", "natgateway"
    attributes = {"NatGatewayId": path}
    passed = frozenset({"AllocationId", "SubnetId", "ConnectivityType"})
    handled = passed | {"Tags"}
    mutable = frozenset({"Tags"})


def as_text(document: Any) -> str:
    """A policy as the API takes it."""
    return document if isinstance(document, str) else json.dumps(document)


TABLE: dict[str, kinds.Kind] = {
    "AWS::EC2::EIP": Address(),
    "AWS::EC2::EgressOnlyInternetGateway": EgressOnlyGateway(),
    "AWS::EC2::InternetGateway": InternetGateway(),
    "AWS::EC2::NatGateway": NatGateway(),
    "AWS::EC2::Route": Route(),
    "AWS::EC2::RouteTable": RouteTable(),
    "AWS::EC2::SecurityGroup": SecurityGroup(),
    "AWS::EC2::SecurityGroupEgress": Egress(),
    "AWS::EC2::SecurityGroupIngress": Ingress(),
    "AWS::EC2::Subnet": Subnet(),
    "AWS::EC2::SubnetRouteTableAssociation": RouteTableAssociation(),
    "AWS::EC2::VPC": Vpc(),
    "AWS::EC2::VPCCidrBlock": VpcCidrBlock(),
    "AWS::EC2::VPCEndpoint": VpcEndpoint(),
    "AWS::EC2::VPCGatewayAttachment": GatewayAttachment(),
}
