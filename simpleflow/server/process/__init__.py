"""A server process: its files, its sockets, its commit loop, and the commands about it."""
