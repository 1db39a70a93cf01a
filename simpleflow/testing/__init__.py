"""Public test doubles and environments."""
