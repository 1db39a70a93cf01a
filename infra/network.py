"""Network: subnets in named zones, no inbound port, and a way out.

At rest the default costs nothing: public subnets whose security group lets nothing in, and a gateway endpoint for S3.
"""

from __future__ import annotations

import dataclasses
import ipaddress
from typing import Any

from troposphere import GetAtt, Ref, Select, Sub, Tags, Template, ec2

from . import values

#: services that nodes call, as interface endpoints (access: endpoints)
INTERFACES = ("autoscaling", "cloudformation", "ec2", "logs", "monitoring", "ssm", "swf")

#: zones are named on purpose: GetAZs answers in another order in another account, and would move subnets
_NAMED_ZONE = {"cfn-lint": {"config": {"ignore_checks": ["W3010"]}}}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Made:
    """What other resources need of the network."""

    subnets: list[Any]
    security_group: Any
    public: bool
    #: resources without which a machine reaches nothing
    needed: tuple[str, ...]


def add(template: Template, cluster: values.Cluster) -> Made:
    """Add the network of a cluster, or use the one that exists."""
    network = cluster.network
    tags = Tags(values.tags_of(cluster))
    if network.vpc:
        group = _security_group(template, tags, network.vpc, network)
        return Made(subnets=list(network.subnets), security_group=group, public=False, needed=())
    vpc = template.add_resource(
        ec2.VPC("Vpc", CidrBlock=network.cidr, EnableDnsSupport=True, EnableDnsHostnames=True, Tags=tags)
    )
    gateway = template.add_resource(ec2.InternetGateway("InternetGateway", Tags=tags))
    attached = template.add_resource(
        ec2.VPCGatewayAttachment("InternetGatewayAttached", VpcId=Ref(vpc), InternetGatewayId=Ref(gateway))
    )
    public = network.access == "public"
    needed = [attached.title]
    outward = template.add_resource(ec2.RouteTable("PublicRoutes", VpcId=Ref(vpc), Tags=tags))
    # A route to a gateway that is not attached yet is refused: CloudFormation does not see this order by itself.
    template.add_resource(
        ec2.Route(
            "PublicDefaultRoute",
            RouteTableId=Ref(outward),
            DestinationCidrBlock="0.0.0.0/0",
            GatewayId=Ref(gateway),
            DependsOn=attached.title,
        )
    )
    needed.append("PublicDefaultRoute")
    ipv6 = None
    if network.ipv6:
        ipv6 = template.add_resource(ec2.VPCCidrBlock("VpcIpv6", VpcId=Ref(vpc), AmazonProvidedIpv6CidrBlock=True))
    # Sixteen blocks: zones can be added without moving those that stand; the last one is the NAT gateway's.
    blocks = list(ipaddress.ip_network(network.cidr).subnets(prefixlen_diff=4))
    tables = [outward]
    if not public:
        inside = template.add_resource(ec2.RouteTable("PrivateRoutes", VpcId=Ref(vpc), Tags=tags))
        tables.append(inside)
    else:
        inside = outward
    subnets = []
    for number, zone in enumerate(network.zones):
        letter = zone[-1].upper()
        extra: dict[str, Any] = {}
        if ipv6 is not None:
            extra["Ipv6CidrBlock"] = Select(number, _ipv6_blocks(len(network.zones)))
            extra["AssignIpv6AddressOnCreation"] = True
            extra["DependsOn"] = ipv6.title
        subnet = template.add_resource(
            ec2.Subnet(
                f"Subnet{letter}",
                VpcId=Ref(vpc),
                CidrBlock=str(blocks[number]),
                AvailabilityZone=zone,
                MapPublicIpOnLaunch=public,
                Tags=tags,
                Metadata=_NAMED_ZONE,
                **extra,
            )
        )
        association = template.add_resource(
            ec2.SubnetRouteTableAssociation(f"Subnet{letter}Routes", SubnetId=Ref(subnet), RouteTableId=Ref(inside))
        )
        needed.append(association.title)
        subnets.append(Ref(subnet))
    group = _security_group(template, tags, Ref(vpc), network)
    s3 = template.add_resource(
        ec2.VPCEndpoint(
            "S3Endpoint",
            VpcId=Ref(vpc),
            ServiceName=Sub("com.amazonaws.${AWS::Region}.s3"),
            VpcEndpointType="Gateway",
            RouteTableIds=[Ref(each) for each in tables],
        )
    )
    needed.append(s3.title)
    if network.access == "nat":
        needed.append(_nat(template, cluster, vpc, str(blocks[15]), attached, outward, inside))
    if network.access == "endpoints":
        needed += _interfaces(template, network, vpc, subnets, tags)
    if network.ipv6:
        needed.append(_ipv6_route(template, vpc, gateway, attached, inside, public=public))
    return Made(subnets=subnets, security_group=group, public=public, needed=tuple(needed))


def _security_group(template: Template, tags: Any, vpc: Any, network: values.Network) -> Any:
    everywhere = [{"IpProtocol": "-1", "CidrIp": "0.0.0.0/0", "Description": "out"}]
    if network.ipv6:
        everywhere.append({"IpProtocol": "-1", "CidrIpv6": "::/0", "Description": "out"})
    group = template.add_resource(
        ec2.SecurityGroup(
            "NodeSecurityGroup",
            GroupDescription="simpleflow nodes: nothing comes in",
            VpcId=vpc,
            SecurityGroupEgress=[ec2.SecurityGroupRule(**rule) for rule in everywhere],
            Tags=tags,
        )
    )
    return GetAtt(group, "GroupId")


def _nat(
    template: Template, cluster: values.Cluster, vpc: Any, block: str, attached: Any, outward: Any, inside: Any
) -> str:
    tags = Tags(values.tags_of(cluster))
    subnet = template.add_resource(
        ec2.Subnet(
            "NatSubnet",
            VpcId=Ref(vpc),
            CidrBlock=block,
            AvailabilityZone=cluster.network.zones[0],
            Tags=tags,
            Metadata=_NAMED_ZONE,
        )
    )
    template.add_resource(
        ec2.SubnetRouteTableAssociation("NatSubnetRoutes", SubnetId=Ref(subnet), RouteTableId=Ref(outward))
    )
    address = template.add_resource(ec2.EIP("NatAddress", Domain="vpc", DependsOn=attached.title, Tags=tags))
    nat = template.add_resource(
        ec2.NatGateway("Nat", AllocationId=GetAtt(address, "AllocationId"), SubnetId=Ref(subnet), Tags=tags)
    )
    route = template.add_resource(
        ec2.Route(
            "PrivateDefaultRoute", RouteTableId=Ref(inside), DestinationCidrBlock="0.0.0.0/0", NatGatewayId=Ref(nat)
        )
    )
    return str(route.title)


def _interfaces(template: Template, network: values.Network, vpc: Any, subnets: list[Any], tags: Any) -> list[str]:
    group = template.add_resource(
        ec2.SecurityGroup(
            "EndpointSecurityGroup",
            GroupDescription="simpleflow interface endpoints: https from the network itself",
            VpcId=Ref(vpc),
            SecurityGroupIngress=[
                ec2.SecurityGroupRule(
                    IpProtocol="tcp", FromPort=443, ToPort=443, CidrIp=network.cidr, Description="nodes"
                )
            ],
            SecurityGroupEgress=[
                # Without a rule of ours EC2 adds one that lets everything out.
                ec2.SecurityGroupRule(IpProtocol="-1", CidrIp="127.0.0.1/32", Description="nothing")
            ],
            Tags=tags,
        )
    )
    names = []
    for service in INTERFACES:
        made = template.add_resource(
            ec2.VPCEndpoint(
                f"{service.capitalize()}Endpoint",
                VpcId=Ref(vpc),
                ServiceName=Sub("com.amazonaws.${AWS::Region}." + service),
                VpcEndpointType="Interface",
                PrivateDnsEnabled=True,
                SubnetIds=subnets,
                SecurityGroupIds=[GetAtt(group, "GroupId")],
            )
        )
        names.append(str(made.title))
    return names


def _ipv6_blocks(count: int) -> dict[str, Any]:
    return {"Fn::Cidr": [{"Fn::Select": [0, {"Fn::GetAtt": ["Vpc", "Ipv6CidrBlocks"]}]}, count, 64]}


def _ipv6_route(template: Template, vpc: Any, gateway: Any, attached: Any, inside: Any, *, public: bool) -> str:
    way: dict[str, Any] = {"GatewayId": Ref(gateway), "DependsOn": attached.title}
    if not public:
        egress = template.add_resource(ec2.EgressOnlyInternetGateway("Ipv6Egress", VpcId=Ref(vpc)))
        way = {"EgressOnlyInternetGatewayId": Ref(egress)}
    route = template.add_resource(
        ec2.Route("Ipv6DefaultRoute", RouteTableId=Ref(inside), DestinationIpv6CidrBlock="::/0", **way)
    )
    return str(route.title)
