"""Instances, fleets, images, launch templates, instance metadata."""
