"""Limits of AMQP 0-9-1."""

MAX_SHORT_STRING = 255
"""Bytes of UTF-8 of a name: a routing key, an exchange, a queue, a virtual host."""
