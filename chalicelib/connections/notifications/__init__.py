"""Services of notifications: their settings, the outbox, the dispatch of due ones and their sending."""
