from __future__ import annotations

from pathlib import Path
from typing import Any

import boto3
import pytest

from simpleflow import settings, storage


def test_files_and_texts_go_and_come(bucket: Any, tmp_path: Path) -> None:
    (tmp_path / "sent").write_text("42")
    storage.push("kept", "a/file.txt", str(tmp_path / "sent"), content_type="text/plain")
    storage.push_content("kept", "a/text", "Hey Jude ʘ")
    storage.pull("kept", "a/file.txt", str(tmp_path / "got"))
    assert (tmp_path / "got").read_text() == "42"
    assert storage.pull_content("kept", "a/text") == "Hey Jude ʘ"
    assert [found.key for found in storage.list_keys("kept", "a/")] == ["a/file.txt", "a/text"]
    assert [found.key for found in storage.list_keys("kept")] == ["a/file.txt", "a/text"]
    assert bucket.Object("a/file.txt").content_type == "text/plain"


def test_what_is_pushed_is_encrypted_when_the_setting_says_so(bucket: Any) -> None:
    settings.put_setting("SIMPLEFLOW_S3_SSE", True)
    storage.push_content("kept", "secret", "x")
    assert bucket.Object("secret").server_side_encryption == "AES256"


def test_where_a_bucket_lies(bucket: Any) -> None:
    boto3.client("s3", region_name="eu-west-1").create_bucket(
        Bucket="far", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"}
    )
    assert storage.sanitize_bucket_and_host("kept") == ("kept", "us-east-1")
    assert storage.sanitize_bucket_and_host("far") == ("far", "eu-west-1")
    assert storage.sanitize_bucket_and_host("s3.amazonaws.com/kept") == ("kept", "s3.amazonaws.com")
    storage.push_content("s3.amazonaws.com/kept", "by-host", "x")
    assert storage.pull_content("kept", "by-host") == "x"
    for wrong in ("any/kept", "s3-eu-west-1.amazonaws.com/kept/below"):
        with pytest.raises(ValueError, match=wrong.split("/")[0]):
            storage.sanitize_bucket_and_host(wrong)


def test_a_bucket_whose_region_may_not_be_asked(bucket: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from botocore.exceptions import ClientError

    class Closed:
        def get_bucket_location(self, **_: Any) -> None:
            raise ClientError({"Error": {"Code": "AccessDenied"}}, "GetBucketLocation")

    monkeypatch.setattr(storage.buckets, "client", Closed)
    assert storage.sanitize_bucket_and_host("kept") == ("kept", "s3.amazonaws.com")
