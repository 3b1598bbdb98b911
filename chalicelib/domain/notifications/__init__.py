"""Notifications of changes of state: settings, changes, quiet hours, attempts and signatures, without I/O."""
