"""Messages and what became of them: the entries of the message log, and the history of one message."""
