"""Services behind the connections API."""
