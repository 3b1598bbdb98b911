"""Services behind the flows API."""
