"""Wiring and helpers of the entry points: the only package that may import every other package."""
