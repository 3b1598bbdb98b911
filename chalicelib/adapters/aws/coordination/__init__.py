"""Adapters on the table ``coordination``: small records with an end that functions share."""
