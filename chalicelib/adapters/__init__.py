"""Adapters to the outside. Each SDK is used in one of these folders only."""
