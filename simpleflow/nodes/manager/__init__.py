"""The manager: observe, decide, act. One process per cluster acts; any may die at any moment."""
