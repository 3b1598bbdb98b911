"""AMQP 0-9-1 brokers: the only modules that use pika."""
