"""What a program submits, until the coordinator knows of it."""
