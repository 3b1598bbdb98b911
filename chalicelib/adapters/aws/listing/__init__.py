"""The index of connections that the overview and the sorted list read."""
