"""Boots an image here, as a container or as a virtual machine, beside instance metadata of its own."""
