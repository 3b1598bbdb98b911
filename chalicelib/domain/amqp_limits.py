"""Limits of AMQP 0-9-1, and of what the connector uses of a broker."""

MAX_SHORT_STRING = 255
"""The maximum length of a routing key or of an exchange, queue or virtual host name, in bytes of UTF-8."""
MAX_CONNECTIONS = 4
"""Default of ``maxConnections``: the sockets that one connection has at its broker at a time."""
