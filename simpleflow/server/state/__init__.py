"""What the service remembers: executions, what a call changed, polls, quotas."""
