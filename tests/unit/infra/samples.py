"""Clusters that the golden templates are made from."""

from __future__ import annotations

from simpleflow.infra import values

SCRIPT = (
    "#cloud-config\n"
    "# ${a shell's variable} stays as it is\n"
    f"store: s3://{values.BUCKET_TOKEN}/\ncode: {values.CODE_TOKEN}\n"
)
DEBIAN = "/aws/service/debian/release/12/latest/amd64"
AMI = "ami-0123456789abcdef0"

PLAIN = values.Cluster(
    name="demo",
    region="eu-west-1",
    domain="demo",
    decision_task_list="demo",
    profiles=(
        values.Machine(
            name="small", types=("c7i.large", "c6i.large"), image=DEBIAN, user_data=SCRIPT, task_lists=("light",)
        ),
    ),
    deciders=values.Machine(
        name="deciders",
        types=("t3.small",),
        image=DEBIAN,
        user_data=SCRIPT + f"group: {values.GROUP_TOKEN}\nalarm: {values.ALARM_TOKEN}\n",
    ),
    network=values.Network(zones=("eu-west-1a", "eu-west-1b")),
)

RICH = values.Cluster(
    name="render",
    region="us-east-1",
    domain="films",
    decision_task_list="render-decisions",
    profiles=(
        values.Machine(
            name="big-gpu-2",
            types=("g5.xlarge",),
            market="spot",
            image=AMI,
            disk=values.Disk(size=200, type="gp3", iops=6000, throughput=500),
            user_data=SCRIPT,
            task_lists=("heavy", "preview"),
            permissions=(values.Statement(actions=("s3:GetObject",), resources=("arn:aws:s3:::films/*",)),),
            secrets=("/films/token", "arn:aws:secretsmanager:us-east-1:123456789012:secret:films-AbCdEf"),
        ),
        values.Machine(name="small", types=("c7g.large",), image=AMI, user_data=SCRIPT, task_lists=("light",)),
    ),
    deciders=values.Machine(
        name="deciders", types=("t4g.small", "t4g.medium"), market="spot", image=AMI, user_data=SCRIPT
    ),
    deciders_min=1,
    deciders_max=3,
    network=values.Network(
        zones=("us-east-1a", "us-east-1b", "us-east-1c"), cidr="10.9.0.0/16", access="nat", ipv6=True
    ),
    log_days=7,
    tags={"team": "post production"},
)

CLOSED = values.Cluster(
    name="closed",
    region="eu-west-1",
    domain="closed",
    decision_task_list="closed",
    profiles=PLAIN.profiles,
    deciders=PLAIN.deciders,
    network=values.Network(zones=("eu-west-1a",), access="endpoints"),
    bucket="a-bucket-of-mine",
)

YOURS = values.Cluster(
    name="yours",
    region="eu-west-1",
    domain="yours",
    decision_task_list="yours",
    profiles=PLAIN.profiles,
    deciders=PLAIN.deciders,
    network=values.Network(vpc="vpc-0123456789abcdef0", subnets=("subnet-0123456789abcdef0",)),
)

ALL = {"plain": PLAIN, "rich": RICH, "closed": CLOSED, "yours": YOURS}
