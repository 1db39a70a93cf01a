"""Other people's clients, unchanged, against the embedded service."""
