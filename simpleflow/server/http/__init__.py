"""AWS JSON over sockets: the application, a connection, and the side that listens."""
