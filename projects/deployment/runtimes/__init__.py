"""One small interface over every runtime: a session is called with arrays and returns arrays by name."""
