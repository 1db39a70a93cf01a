"""A cluster on this machine: up, down, status, and the supervisor that up leaves behind."""
