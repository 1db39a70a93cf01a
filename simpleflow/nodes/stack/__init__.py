"""A cluster on AWS: its two stacks, brought up, planned, shown, changed and taken down."""
