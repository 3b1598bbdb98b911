"""Limits of AMQP 0-9-1."""

MAX_SHORT_STRING = 255
"""The maximum length of a routing key or of an exchange, queue or virtual host name, in bytes of UTF-8."""
