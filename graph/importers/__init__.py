"""Foreign documents become registrations here: pure functions, one module a format."""
