"""What the history says of an execution; knows no program."""
