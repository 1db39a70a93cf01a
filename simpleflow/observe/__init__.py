"""Statistics and dumps of executions."""
