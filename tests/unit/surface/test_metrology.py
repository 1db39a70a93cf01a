from __future__ import annotations

import json
from typing import Any

from simpleflow import activity, futures, settings, storage
from simpleflow.metrology import MetrologyTask, MetrologyWorkflow, StepIO
from simpleflow.testing import environment


@activity.with_attributes(version="1", task_list="list")
class Crawl(MetrologyTask):
    def __init__(self, pages: int) -> None:
        self.pages = pages
        self.meta = {"pages": pages}

    def execute(self) -> int:
        with self.step("fetch") as step:
            step.read.records += self.pages
            step.write.bytes += 1 << 20
            step.metadata["from"] = "here"
        return self.pages


class Report(MetrologyWorkflow):
    name, version, task_list = "report", "1", "decisions"

    def run(self) -> Any:
        return futures.wait(self.submit(Crawl, 3), self.submit(Crawl, 4))


def test_figures_of_tasks_are_merged_with_the_history(bucket: Any) -> None:
    settings.configure({"METROLOGY_BUCKET": "kept", "METROLOGY_PATH_PREFIX": "figures"})
    with environment.Environment(workflows=(Report,)) as place:
        assert place.run(Report) == [3, 4]
    keys = [found.key for found in storage.list_keys("kept", "figures/")]
    whole = [key for key in keys if key.endswith("/metrology.json")]
    assert (len(keys), len(whole)) == (3, 1)
    merged = dict(json.loads(storage.pull_content("kept", whole[0])))
    measured = merged[f"activity-{Crawl.name}-1"]["metrology"]
    assert measured["meta"] == {"pages": 3}
    (step,) = measured["steps"]
    assert (step["name"], step["read"]["records"], step["metadata"]) == ("fetch", 3, {"from": "here"})
    assert merged[f"activity-{Crawl.name}-2"]["state"] == "completed"


def test_what_nobody_knows_where_it_runs_uploads_nothing() -> None:
    task = Crawl.callable(1)
    assert not task.can_upload()
    task.upload_stats()


def test_rates() -> None:
    moved = StepIO()
    assert moved.get_stats(2.0) == {"bytes": 0, "records": 0, "mb_s": None, "rec_s": None, "sampled": False}
    moved.bytes, moved.records = 3 << 20, 5
    assert (moved.get_stats(2.0)["mb_s"], moved.get_stats(2.0)["rec_s"]) == (1.5, 2)
    assert moved.get_stats(0.0)["mb_s"] is None
