"""OpenTelemetry spans of clients, deciders and workers: ``SIMPLEFLOW_INTERCEPTORS=simpleflow.observe.otel.Tracing``.

All spans of one run are in one trace. The trace id is computed from the run id: every process computes the same id, and
inputs do not carry it. Needs the extra ``simpleflow[otel]``.
"""

from __future__ import annotations

import contextvars
import hashlib
import time
from collections.abc import Callable
from typing import Any

from opentelemetry import context, trace
from opentelemetry.sdk import trace as sdk
from opentelemetry.sdk.trace import export, id_generator

from simpleflow import _version
from simpleflow.core import interceptors

_NANO = 1_000_000_000
#: milliseconds for which a process that ends waits until its spans are sent
FLUSH_MS = 1500
#: ids that the next root span gets
_wanted: contextvars.ContextVar[trace.SpanContext | None] = contextvars.ContextVar("wanted", default=None)


def ids_of_run(run_id: str) -> tuple[int, int]:
    """Return the trace id of a run, and the id of its root span."""
    digest = hashlib.sha256(run_id.encode()).digest()
    return int.from_bytes(digest[:16], "big") or 1, int.from_bytes(digest[16:24], "big") or 1


class RunIds(id_generator.RandomIdGenerator):  # type: ignore[misc]  # mypy does not look into the package
    """Gives the root span of a run its ids: ``TracerProvider(id_generator=RunIds())`` where your program makes the
    provider. Without it the root span is in another trace; the other spans of the run still share one trace."""

    def generate_trace_id(self) -> int:
        wanted = _wanted.get()
        return int(super().generate_trace_id() if wanted is None else wanted.trace_id)

    def generate_span_id(self) -> int:
        wanted = _wanted.get()
        return int(super().generate_span_id() if wanted is None else wanted.span_id)


class Tracing(interceptors.Interceptor):
    """One span for each start, decision and activity, in one trace for each run. Thread safe.

    ``provider``: default the tracer provider that the program has set, else a new one that sends by OTLP over HTTP and
    is configured by the standard variables (OTEL_EXPORTER_OTLP_ENDPOINT, OTEL_SERVICE_NAME, OTEL_TRACES_SAMPLER).
    """

    def __init__(self, provider: sdk.TracerProvider | None = None) -> None:
        self._provider = provider or _provider()
        self._tracer = self._provider.get_tracer("simpleflow", _version.__version__)

    # -- clients

    def call(self, call: interceptors.ClientCall, proceed: Callable[[], Any]) -> Any:
        """Make a span in the caller's own trace, with a link to the run's trace."""
        attributes = _attributes(workflow_id=call.workflow_id, run_id=call.run_id, name=call.name, domain=call.domain)
        with self._tracer.start_as_current_span(
            f"{call.what} {call.name}".rstrip(), kind=trace.SpanKind.PRODUCER, attributes=attributes
        ) as span:
            result = proceed()
            run_id = str(result) if call.what == "start" else call.run_id
            if run_id:
                span.set_attribute("simpleflow.run_id", run_id)
                span.add_link(self._root(run_id))
            return result

    # -- deciders

    def answered(self, outcome: interceptors.DecisionAnswered) -> None:
        """Make a span of the decision; at the first decision of a run its root span, too."""
        run = outcome.execution
        end = time.time_ns()
        begin = end - int(outcome.seconds * _NANO)
        attributes = _attributes(
            workflow_id=run.workflow_id, run_id=run.run_id, name=run.workflow_name, domain=run.domain
        )
        if outcome.started is not None:
            wanted = _wanted.set(self._root(run.run_id))
            try:
                root = self._tracer.start_span(
                    f"workflow {run.workflow_name}",
                    context=context.Context(),
                    start_time=min(int(outcome.started * _NANO), begin),
                    attributes=attributes,
                )
            finally:
                _wanted.reset(wanted)
            root.end(end)
        span = self._tracer.start_span(
            f"decision {run.workflow_name}",
            context=self._within(run.run_id),
            kind=trace.SpanKind.CONSUMER,
            start_time=begin,
            attributes={
                **attributes,
                "simpleflow.event_id": outcome.started_event_id,
                "simpleflow.decisions": outcome.decisions,
                "simpleflow.closed": outcome.closed,
            },
        )
        span.end(end)

    # -- task runners

    def execute(self, call: interceptors.ActivityCall, proceed: Callable[[], Any]) -> Any:
        """Make a span around the activity; spans that its code makes are children of it."""
        about = call.context
        attributes = _attributes(
            workflow_id=about["workflow_id"], run_id=about["run_id"], name=call.name, domain=about["domain_name"]
        )
        more = {
            "simpleflow.activity_id": about["activity_id"],
            "simpleflow.event_id": call.started_event_id,
            "simpleflow.task_list": call.task_list,
        }
        with self._tracer.start_as_current_span(
            f"activity {call.name}",
            context=self._within(about["run_id"]),
            kind=trace.SpanKind.CONSUMER,
            attributes={**attributes, **more},
        ):
            return proceed()

    def stopping(self) -> None:
        """Send the spans that are not sent yet."""
        self._provider.force_flush(FLUSH_MS)

    def _within(self, run_id: str) -> context.Context:
        return trace.set_span_in_context(trace.NonRecordingSpan(self._root(run_id)), context.Context())

    def _root(self, run_id: str) -> trace.SpanContext:
        """Return the root span of a run, as every process of the run computes it."""
        trace_id, span_id = ids_of_run(run_id)
        sampled = self._provider.sampler.should_sample(None, trace_id, "workflow").decision.is_sampled()
        flags = trace.TraceFlags(trace.TraceFlags.SAMPLED if sampled else trace.TraceFlags.DEFAULT)
        return trace.SpanContext(trace_id, span_id, is_remote=True, trace_flags=flags)


def _attributes(**given: str) -> dict[str, Any]:
    return {f"simpleflow.{key}": value for key, value in given.items() if value}


def _provider() -> sdk.TracerProvider:
    found = trace.get_tracer_provider()
    if isinstance(found, sdk.TracerProvider):
        return found
    from opentelemetry.exporter.otlp.proto.http import trace_exporter  # a program with a provider of its own needs none

    made = sdk.TracerProvider(id_generator=RunIds())
    made.add_span_processor(export.BatchSpanProcessor(trace_exporter.OTLPSpanExporter()))
    trace.set_tracer_provider(made)
    return made
