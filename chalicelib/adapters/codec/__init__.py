"""Codec: runs customers' drivers in processes that can reach nothing. It knows no other part of the program."""
