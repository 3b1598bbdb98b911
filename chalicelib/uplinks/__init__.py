"""The uplink flow: from an accepted report to a confirmed publish."""
