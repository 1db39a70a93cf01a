"""Simulation of a cluster: past runs are played in virtual time, with the real manager's passes."""
