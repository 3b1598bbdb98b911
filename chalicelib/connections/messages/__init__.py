"""Search of the message log for the API."""
