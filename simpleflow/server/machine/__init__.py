"""What each action does to the executions of a session."""
