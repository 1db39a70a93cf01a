"""Which endpoints are Amazon's: they get no extension of the protocol, and have signatures of their region."""

from __future__ import annotations

from pathlib import Path

import pytest
from botocore import loaders

from simpleflow.swf.transport import signing


@pytest.mark.parametrize(
    ("host", "region"),
    [
        ("swf.eu-west-1.amazonaws.com", "eu-west-1"),
        ("swf-fips.us-gov-east-1.amazonaws.com", "us-gov-east-1"),
        ("vpce-0a1-2b.swf.ap-south-1.vpce.amazonaws.com", "ap-south-1"),
        ("swf.cn-north-1.amazonaws.com.cn", "cn-north-1"),
        ("swf.eu-west-1.api.aws", "eu-west-1"),
        ("swf.eusc-de-east-1.amazonaws.eu", "eusc-de-east-1"),
        ("SWF.eu-west-1.amazonaws.com.", "eu-west-1"),
    ],
)
def test_each_endpoint_of_amazon_is_known_and_names_its_region(
    host: str, region: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert signing.is_amazon(f"https://{host}")
    assert not signing.is_amazon(f"https://{host.removesuffix('.')}.example.org")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "x")
    for name in ("AWS_DEFAULT_REGION", "AWS_REGION", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    signer = signing.Signer.of(f"https://{host}", local=False, required=True)
    assert signer is not None
    assert signer.region == region


def test_the_partitions_of_botocore_are_amazon() -> None:
    for partition in loaders.create_loader().load_data("partitions")["partitions"]:
        for suffix in ("dnsSuffix", "dualStackDnsSuffix"):
            assert signing.is_amazon(f"https://swf.somewhere-1.{partition['outputs'][suffix]}")
