"""The HTTP side of the API: tokens, bodies, problem documents and the handlers of the routes."""
