"""The overview of a tenant: compact entries of its connections, and their faults in groups."""
