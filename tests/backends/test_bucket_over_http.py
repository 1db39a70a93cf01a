"""Values over SWF's limits in a bucket that is reached over HTTP: by settings and endpoint alone, as users do."""

from __future__ import annotations

import json

import pytest

from simpleflow import Workflow, activity
from simpleflow.core import events
from simpleflow.data import jumbo
from simpleflow.runtime import stores
from simpleflow.testing.cloud import Cloud
from tests.backends.places import Backend


@activity.with_attributes(version="1", task_list="list", raises_on_failure=True)
def doubled(text: str) -> str:
    return text + text


class Large(Workflow):
    name, version, task_list = "large-over-http", "1", "decisions"

    def run(self, text: str) -> str:
        return self.submit(doubled, self.submit(doubled, text)).result


def test_a_large_value_goes_through_a_bucket_over_http(backend: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    place = backend.environment(Large, jumbo="kept/below", replay=False)  # its connection has the keys of the service
    with Cloud(region="us-east-1") as cloud:
        cloud.client("s3").create_bucket(Bucket="kept")
        key, secret, _ = cloud.principals.admin
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", key)
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", secret)
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", cloud.endpoint)
        cloud.record.clear()
        run = place.start(Large, "x" * 40_000)
        assert place.wait(run) == "x" * 160_000
        history = place.history(run)
        pointers = [each.attributes.result for each in history if isinstance(each, events.ActivityTaskCompleted)]
        for text in (history[0].attributes.input, *pointers):
            assert str(text).startswith("simpleflow+s3://kept/below/")
        assert json.loads(stores.open_store("kept/below").load(str(pointers[-1]))) == "x" * 160_000
        assert {call.status for call in cloud.record.named("s3:GetObject")} == {200}
        assert 200 in {call.status for call in cloud.record.named("s3:PutObject")}
        object_key = str(pointers[-1]).partition(" ")[0].removeprefix("simpleflow+s3://kept/")
        cloud.client("s3").put_object(Bucket="kept", Key=object_key, Body=b'"something else"')
        with pytest.raises(jumbo.BrokenReference, match="its digest differs"):
            stores.open_store("kept/below").load(str(pointers[-1]))
