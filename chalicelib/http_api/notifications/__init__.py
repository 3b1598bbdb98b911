"""Handlers of ``/notifications``, and the models of their documents."""
