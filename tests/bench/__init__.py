"""Measurements, run by `make bench`: programs that print a table, never tests that fail on a slow machine."""
