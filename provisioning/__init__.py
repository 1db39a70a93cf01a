"""What turns a machine into a node: cloud-init, systemd, fabric."""
