"""Spans and metrics of one run, by the libraries that read them."""

from __future__ import annotations

import pytest
from observed_flows import Observe

OTEL = "needs opentelemetry-sdk: pip install 'simpleflow[otel]'"
PROMETHEUS = "needs prometheus-client: pip install 'simpleflow[prometheus]'"


def test_the_spans_of_a_run_are_one_trace(observe: Observe) -> None:
    sdk = pytest.importorskip("opentelemetry.sdk.trace", reason=OTEL)
    from opentelemetry.sdk.trace import export
    from opentelemetry.sdk.trace.export import in_memory_span_exporter
    from opentelemetry.trace import StatusCode

    from simpleflow.observe import otel

    kept = in_memory_span_exporter.InMemorySpanExporter()
    provider = sdk.TracerProvider(id_generator=otel.RunIds())
    provider.add_span_processor(export.SimpleSpanProcessor(kept))
    run = observe(otel.Tracing(provider))
    trace_id, root_id = otel.ids_of_run(run.run_id)
    spans = kept.get_finished_spans()
    assert {span.context.trace_id for span in spans} == {trace_id}
    root = next(span for span in spans if span.parent is None)
    assert (root.name, root.context.span_id) == ("workflow observed", root_id)
    below = [span for span in spans if span is not root]
    assert {span.parent.span_id for span in below} == {root_id}
    assert {span.name for span in below} == {
        "decision observed",
        "activity observed_flows.add",
        "activity observed_flows.fail",
    }
    failed = next(span for span in below if span.name.endswith("fail"))
    assert failed.status.status_code is StatusCode.ERROR
    assert failed.attributes["simpleflow.workflow_id"] == run.workflow_id
    assert below[-1].attributes["simpleflow.closed"] is True


def test_a_sampler_keeps_or_drops_whole_runs(observe: Observe) -> None:
    sdk = pytest.importorskip("opentelemetry.sdk.trace", reason=OTEL)
    from opentelemetry.sdk.trace import export, sampling
    from opentelemetry.sdk.trace.export import in_memory_span_exporter

    from simpleflow.observe import otel

    kept = in_memory_span_exporter.InMemorySpanExporter()
    provider = sdk.TracerProvider(sampler=sampling.ParentBased(sampling.ALWAYS_OFF))
    provider.add_span_processor(export.SimpleSpanProcessor(kept))
    observe(otel.Tracing(provider))
    assert kept.get_finished_spans() == ()


def test_metrics_count_decisions_and_tasks(observe: Observe) -> None:
    client = pytest.importorskip("prometheus_client", reason=PROMETHEUS)
    from simpleflow.observe import prometheus

    registry = client.CollectorRegistry()
    metrics = prometheus.Metrics(registry)
    observe(metrics)

    def value(name: str, **labels: str) -> float | None:
        found: float | None = registry.get_sample_value(f"simpleflow_{name}", labels)
        return found

    where = {"activity": "observed_flows.add", "task_list": "work"}
    assert value("decisions_total", workflow="observed") == value("decision_seconds_count", workflow="observed") > 3
    assert value("closed_total", workflow="observed", decision="CompleteWorkflowExecution") == 1
    assert value("tasks_total", outcome="completed", **where) == 1
    assert value("tasks_total", **{**where, "activity": "observed_flows.fail"}, outcome="failed") == 1
    assert value("task_seconds_count", **where) == 1
    assert value("tasks_running", task_list="work") == 0
