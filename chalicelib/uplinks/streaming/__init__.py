"""Streams of one drain: the receives, the messages at the broker, and the deletes, side by side."""
