"""AMQP 0-9-1 connector for LoRaWAN network servers, as AWS Lambda functions."""

__version__ = "0.1.0"
