"""Wiring and the entry points' helpers: the only room that knows every other."""
