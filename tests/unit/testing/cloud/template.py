"""A template with one of everything that the project's stacks have."""

from __future__ import annotations

from typing import Any

TEMPLATE: dict[str, Any] = {
    "AWSTemplateFormatVersion": "2010-09-09",
    "Parameters": {
        "Image": {
            "Type": "AWS::SSM::Parameter::Value<AWS::EC2::Image::Id>",
            "Default": "/aws/service/debian/release/12/latest/amd64",
        }
    },
    "Resources": {
        "Vpc": {
            "Type": "AWS::EC2::VPC",
            "Properties": {
                "CidrBlock": "10.0.0.0/16",
                "EnableDnsHostnames": True,
                "Tags": [{"Key": "a", "Value": "b"}],
            },
        },
        "A": {
            "Type": "AWS::EC2::Subnet",
            "Properties": {
                "VpcId": {"Ref": "Vpc"},
                "CidrBlock": "10.0.0.0/20",
                "AvailabilityZone": "eu-west-1a",
                "MapPublicIpOnLaunch": True,
            },
        },
        "Igw": {"Type": "AWS::EC2::InternetGateway"},
        "Att": {
            "Type": "AWS::EC2::VPCGatewayAttachment",
            "Properties": {"VpcId": {"Ref": "Vpc"}, "InternetGatewayId": {"Ref": "Igw"}},
        },
        "Rt": {"Type": "AWS::EC2::RouteTable", "Properties": {"VpcId": {"Ref": "Vpc"}}},
        "Route": {
            "Type": "AWS::EC2::Route",
            "DependsOn": "Att",
            "Properties": {
                "RouteTableId": {"Ref": "Rt"},
                "DestinationCidrBlock": "0.0.0.0/0",
                "GatewayId": {"Ref": "Igw"},
            },
        },
        "Ra": {
            "Type": "AWS::EC2::SubnetRouteTableAssociation",
            "Properties": {"RouteTableId": {"Ref": "Rt"}, "SubnetId": {"Ref": "A"}},
        },
        "Sg": {
            "Type": "AWS::EC2::SecurityGroup",
            "Properties": {
                "GroupDescription": "x",
                "VpcId": {"Ref": "Vpc"},
                "SecurityGroupEgress": [{"IpProtocol": "tcp", "FromPort": 443, "ToPort": 443, "CidrIp": "0.0.0.0/0"}],
            },
        },
        "Ep": {
            "Type": "AWS::EC2::VPCEndpoint",
            "Properties": {
                "VpcId": {"Ref": "Vpc"},
                "ServiceName": {"Fn::Sub": "com.amazonaws.${AWS::Region}.s3"},
                "VpcEndpointType": "Gateway",
                "RouteTableIds": [{"Ref": "Rt"}],
            },
        },
        "Role": {
            "Type": "AWS::IAM::Role",
            "Properties": {
                "AssumeRolePolicyDocument": {
                    "Version": "2012-10-17",
                    "Statement": [
                        {"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"}
                    ],
                },
                "Policies": [
                    {
                        "PolicyName": "p",
                        "PolicyDocument": {
                            "Version": "2012-10-17",
                            "Statement": [
                                {
                                    "Effect": "Allow",
                                    "Action": ["s3:GetObject"],
                                    "Resource": {"Fn::Sub": "${Bucket.Arn}/*"},
                                }
                            ],
                        },
                    }
                ],
            },
        },
        "Prof": {"Type": "AWS::IAM::InstanceProfile", "Properties": {"Roles": [{"Ref": "Role"}]}},
        "Bucket": {
            "Type": "AWS::S3::Bucket",
            "DeletionPolicy": "Retain",
            "Properties": {
                "BucketEncryption": {
                    "ServerSideEncryptionConfiguration": [{"ServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}]
                },
                "PublicAccessBlockConfiguration": {
                    "BlockPublicAcls": True,
                    "BlockPublicPolicy": True,
                    "IgnorePublicAcls": True,
                    "RestrictPublicBuckets": True,
                },
            },
        },
        "Bp": {
            "Type": "AWS::S3::BucketPolicy",
            "Properties": {
                "Bucket": {"Ref": "Bucket"},
                "PolicyDocument": {
                    "Version": "2012-10-17",
                    "Statement": [
                        {
                            "Effect": "Deny",
                            "Principal": "*",
                            "Action": "s3:*",
                            "Resource": [{"Fn::GetAtt": ["Bucket", "Arn"]}, {"Fn::Sub": "${Bucket.Arn}/*"}],
                            "Condition": {"Bool": {"aws:SecureTransport": "false"}},
                        }
                    ],
                },
            },
        },
        "Log": {"Type": "AWS::Logs::LogGroup", "Properties": {"RetentionInDays": 30}},
        "Lt": {
            "Type": "AWS::EC2::LaunchTemplate",
            "Properties": {
                "LaunchTemplateData": {
                    "ImageId": {"Ref": "Image"},
                    "InstanceType": "t3.small",
                    "IamInstanceProfile": {"Arn": {"Fn::GetAtt": ["Prof", "Arn"]}},
                    "UserData": {"Fn::Base64": {"Fn::Sub": "#!/bin/sh\n${AWS::Region}"}},
                    "MetadataOptions": {"HttpTokens": "required", "InstanceMetadataTags": "enabled"},
                    "NetworkInterfaces": [
                        {"DeviceIndex": 0, "AssociatePublicIpAddress": True, "Groups": [{"Ref": "Sg"}]}
                    ],
                    "InstanceInitiatedShutdownBehavior": "terminate",
                }
            },
        },
        "Asg": {
            "Type": "AWS::AutoScaling::AutoScalingGroup",
            "Properties": {
                "MinSize": "0",
                "MaxSize": "2",
                "LaunchTemplate": {
                    "LaunchTemplateId": {"Ref": "Lt"},
                    "Version": {"Fn::GetAtt": ["Lt", "LatestVersionNumber"]},
                },
                "VPCZoneIdentifier": [{"Ref": "A"}],
                "NewInstancesProtectedFromScaleIn": True,
                "MetricsCollection": [{"Granularity": "1Minute", "Metrics": ["GroupDesiredCapacity"]}],
                "Tags": [{"Key": "c", "Value": "d", "PropagateAtLaunch": True}],
            },
        },
        "Pol": {
            "Type": "AWS::AutoScaling::ScalingPolicy",
            "Properties": {
                "AutoScalingGroupName": {"Ref": "Asg"},
                "PolicyType": "StepScaling",
                "AdjustmentType": "ExactCapacity",
                "StepAdjustments": [{"MetricIntervalLowerBound": 0, "ScalingAdjustment": 1}],
            },
        },
        "Alarm": {
            "Type": "AWS::CloudWatch::Alarm",
            "Properties": {
                "ComparisonOperator": "GreaterThanThreshold",
                "Threshold": 0,
                "EvaluationPeriods": 1,
                "AlarmActions": [{"Ref": "Pol"}],
                "Metrics": [
                    {
                        "Id": "p",
                        "ReturnData": False,
                        "MetricStat": {
                            "Metric": {
                                "Namespace": "AWS/SWF",
                                "MetricName": "PendingTasks",
                                "Dimensions": [
                                    {"Name": "Domain", "Value": "d"},
                                    {"Name": "TaskListName", "Value": "t"},
                                ],
                            },
                            "Period": 60,
                            "Stat": "Maximum",
                        },
                    },
                    {
                        "Id": "d",
                        "ReturnData": False,
                        "MetricStat": {
                            "Metric": {
                                "Namespace": "AWS/AutoScaling",
                                "MetricName": "GroupDesiredCapacity",
                                "Dimensions": [{"Name": "AutoScalingGroupName", "Value": {"Ref": "Asg"}}],
                            },
                            "Period": 60,
                            "Stat": "Maximum",
                        },
                    },
                    {"Id": "e", "Expression": "IF(p > 0 AND d < 1, 1, 0)", "Label": "x"},
                ],
            },
        },
    },
    "Outputs": {
        "BucketName": {"Value": {"Ref": "Bucket"}, "Export": {"Name": {"Fn::Sub": "${AWS::StackName}-bucket"}}},
        "Group": {"Value": {"Ref": "Asg"}},
    },
}
