"""Drivers: customers' JavaScript that decodes and encodes the payloads of devices."""
