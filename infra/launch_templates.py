"""One launch template per kind of machine: IMDSv2 only, tags in metadata, an encrypted disk that goes with it."""

from __future__ import annotations

from typing import Any

from troposphere import Base64, Join, Parameter, Ref, Template, ec2

from . import deciders, network, values

_SSM_IMAGE = "AWS::SSM::Parameter::Value<AWS::EC2::Image::Id>"


def user_data(text: str) -> Any:
    """User data whose tokens become what the stack knows. Split and joined: a shell's own ``${}`` would upset Sub."""
    parts: list[Any] = [text]
    for token, value in (
        (values.BUCKET_TOKEN, Ref("Bucket")),
        (values.CODE_TOKEN, Ref("Code")),
        (values.GROUP_TOKEN, deciders.group_name()),
        (values.ALARM_TOKEN, Ref("BootAlarm")),
    ):
        split: list[Any] = []
        for part in parts:
            if not isinstance(part, str):
                split.append(part)
                continue
            for number, piece in enumerate(part.split(token)):
                split += ([value] if number else []) + ([piece] if piece else [])
        parts = split
    return Base64(Join("", parts))


def image(template: Template, machine: values.Machine) -> Any:
    """The image's id, or a parameter that CloudFormation resolves at each update."""
    if not machine.image.startswith("/"):
        return machine.image
    title = f"{values.logical(machine.name)}Image"
    template.add_parameter(Parameter(title, Type=_SSM_IMAGE, Default=machine.image))
    return Ref(title)


def _disk(machine: values.Machine) -> ec2.LaunchTemplateBlockDeviceMapping:
    disk = machine.disk
    given: dict[str, Any] = {"Encrypted": True, "DeleteOnTermination": True}
    given |= {"VolumeSize": disk.size, "VolumeType": disk.type}
    if disk.iops is not None:
        given["Iops"] = disk.iops
    if disk.throughput is not None:
        given["Throughput"] = disk.throughput
    return ec2.LaunchTemplateBlockDeviceMapping(DeviceName=machine.root_device, Ebs=ec2.EBSBlockDevice(**given))


def add(
    template: Template, cluster: values.Cluster, machine: values.Machine, profile: Any, made: network.Made, role: str
) -> Any:
    """Add the launch template of a machine."""
    mine = values.tags_of(cluster, **{values.PROFILE_TAG: machine.name, values.ROLE_TAG: role})
    kinds = ("instance", "volume", "network-interface")
    return template.add_resource(
        ec2.LaunchTemplate(
            f"{values.logical(machine.name)}Template",
            LaunchTemplateData=ec2.LaunchTemplateData(
                ImageId=image(template, machine),
                InstanceType=machine.types[0],
                InstanceInitiatedShutdownBehavior="terminate",
                IamInstanceProfile=ec2.IamInstanceProfile(Arn=profile),
                MetadataOptions=ec2.MetadataOptions(
                    HttpTokens="required",
                    HttpEndpoint="enabled",
                    HttpPutResponseHopLimit=1,
                    InstanceMetadataTags="enabled",
                ),
                BlockDeviceMappings=[_disk(machine)],
                NetworkInterfaces=[
                    ec2.NetworkInterfaces(
                        DeviceIndex=0,
                        AssociatePublicIpAddress=made.public,
                        DeleteOnTermination=True,
                        Groups=[made.security_group],
                    )
                ],
                TagSpecifications=[
                    ec2.TagSpecifications(ResourceType=kind, Tags=values.tag_list(mine)) for kind in kinds
                ],
                UserData=user_data(machine.user_data),
            ),
            TagSpecifications=[
                ec2.TagSpecifications(ResourceType="launch-template", Tags=values.tag_list(values.tags_of(cluster)))
            ],
            # A machine that boots before its way out stands would fail its first boot.
            **({"DependsOn": sorted(made.needed)} if made.needed else {}),
        )
    )
