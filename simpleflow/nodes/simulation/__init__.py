"""What a cluster would have done, and cost: past runs played through the manager's own passes in virtual time."""
