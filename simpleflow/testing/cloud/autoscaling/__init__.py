"""The Auto Scaling group, its policies, and the alarms that scale it."""
