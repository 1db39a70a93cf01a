"""``make demo-spot``: what a cluster does when machines are taken away, do not boot, or cost too much."""
