"""Webhooks of tenants: the only code that calls their URLs."""
