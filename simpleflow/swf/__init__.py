"""The SWF protocol as its clients see it."""
