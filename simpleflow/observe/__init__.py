"""What executions, deciders and workers do: read from histories, or observed by interceptors.

tasklog.py   the tasks of one history: when each was scheduled, ran, and how it ended
otel.py      OpenTelemetry spans, an interceptor
prometheus.py  Prometheus metrics, an interceptor and its page
stats.py     how long tasks take and how they fail, in one run and over many
"""
