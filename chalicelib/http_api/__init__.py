"""The HTTP API: tokens, bodies, problem documents and the handlers of the routes."""
