"""Messages about wrong cluster files: the line, the value, and what to write instead."""

from __future__ import annotations

import pytest

from simpleflow.nodes import config, errors

HEAD = "cluster: demo\n"
TAIL = "profiles:\n  small: {billing: {price: 0.05}}\ntask_lists:\n  light: {profile: small, slots: 2, max: 4}\n"
FAR = """cluster: demo
provider: ssh
endpoint: http://far:80
store: s3://bucket/demo
profiles: {{small: {{hosts: {hosts}}}}}
task_lists: {{light: {{profile: small, max: 2}}}}
"""


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("code: {python: 3.10}", "code.python: 3.10 is not text; write it in quotes: '3.10'"),
        ("code: {modules: jobs}", "'jobs' is not a list; write it in brackets: [jobs]"),
        ("code: {index: 'off'}", "'off' is neither true nor false; write false, without quotes"),
        ("deciders: {max: '2'}", "'2' is not a whole number; write 2 without quotes"),
        ("deciders: {max: 2.5}", "2.5 is not a whole number; write 2 or 3"),
        ("deciders: {max: 1e1}", "1e1 is not a whole number; write 10"),
        ("deciders: {max: many}", "'many' is not a whole number; write digits, such as 1"),
        ("deciders: {arch: amd64}", "did you mean 'x86_64'?"),
        ("deciders: {arch: aarch64}", "did you mean 'arm64'?"),
        ("deciders: {market: OnDemand}", "did you mean 'on-demand'?"),
        ("deciders: {workflows: [jobs]}", "'jobs' is not a dotted name; write package.module.Class"),
        ("deciders: {workflows: ['jobs. Flow']}", "'jobs. Flow' is not a dotted name"),
        ("deciders:", "deciders has no value; write deciders: {}, or keys below it: types,"),
        ("domain:", "domain has no value; write one, or leave the key out"),
        ("tags: {owner: }", "tags.owner has no value; write one"),
        ("policy: lookahead", "did you mean 'look-ahead'?"),
        ("speed: '3'", "write 3 without quotes"),
        ("provider: Process", "write 'process'"),
        ("network: {cidr: 10.77.0.0/255.255.0.0}", "is not how EC2 writes a block; write 10.77.0.0/16"),
        ("network: {cidr: 10.77.0.0/016}", "write 10.77.0.0/16"),
        ("tags: {simpleflow:owner: me}", "reserved"),
        ("endpoint: 'http://host /'", "holds a blank; remove it"),
        ("domain: 'a' b", "not YAML: this line does not fit those above it"),
        ("domain: a: b", "a ':' that cannot stand here"),
        ("domain: @home", "put a text that begins with it in quotes"),
        ('domain: "C:\\temp\\data"', "in double quotes write two backslashes for one"),
    ],
)
def test_each_message_says_what_to_write(line, said):
    with pytest.raises(errors.ClusterFileError) as caught:
        config.loads(f"cluster: demo\n{line}\n{TAIL}", "c.yaml")
    assert said in str(caught.value)
    assert all(each.startswith("c.yaml:2: ") for each in caught.value.problems)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("---\n", "c.yaml:1: the file is empty"),
        ("cluster:demo\n", "c.yaml:1: 'cluster:demo' is not a line 'key: value'"),
        ("- cluster: demo\n", "c.yaml:1: the file is not made of lines 'key: value'; begin with 'cluster: NAME'"),
        ("cluster: 'demo\nprovider: process\n", "c.yaml:1: not YAML: the quote that begins here is not closed"),
        ("cluster: demo\ntags: [a,\n  b\nx: 1\n", "the '[' of line 2 is not closed before this place"),
        ("cluster: demo\nprofiles\ntask_lists: {}\n", "c.yaml:2: not YAML: this line is not 'key: value'"),
    ],
)
def test_what_is_not_a_mapping_is_told_where_it_begins(text, said):
    with pytest.raises(errors.ClusterFileError) as caught:
        config.loads(text, "c.yaml")
    assert said in str(caught.value)


def test_of_thousands_of_problems_the_first_are_shown():
    text = HEAD + TAIL + "".join(f"key{number}: 1\n" for number in range(5_000))
    with pytest.raises(errors.ClusterFileError) as caught:
        config.loads(text, "c.yaml")
    assert len(caught.value.problems) == 51
    assert "there are more problems" in caught.value.problems[-1]


@pytest.mark.parametrize(
    ("hosts", "said"),
    [
        ("[root@far]", "names a user; write hosts: [far] and ssh: {user: root}"),
        ("['far:2222']", "names a port; write hosts: [far] and ssh: {port: 2222}"),
        ("['-oProxyCommand=touch x']", "is not an address"),
        ("[far away]", "is not an address"),
        ("[far, near, far]", "stands twice: a machine is one node"),
    ],
)
def test_a_host_is_an_address_and_one_machine(hosts, said):
    with pytest.raises(errors.ClusterFileError) as caught:
        config.loads(FAR.format(hosts=hosts), "c.yaml")
    assert said in str(caught.value)


@pytest.mark.parametrize("host", ["far", "10.0.0.1", "node-1.example.org", "fd00::1", "my_host"])
def test_addresses_of_machines_are_taken(host):
    assert config.loads(FAR.format(hosts=f"['{host}']")).profiles["small"].hosts == (host,)
