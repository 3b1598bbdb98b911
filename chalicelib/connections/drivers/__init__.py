"""Services behind the API of drivers."""
