"""SQL: which column is computed from which, read from the text."""
