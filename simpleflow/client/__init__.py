"""Start, look at, signal and end executions on any backend."""
