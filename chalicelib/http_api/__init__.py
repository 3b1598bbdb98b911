"""What is HTTP about the API: tokens, bodies, problem documents and the routes' handlers."""
