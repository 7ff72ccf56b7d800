"""A report of a check in each of its forms: one module a form."""
