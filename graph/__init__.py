"""Headwater's domain: what assets are, how they depend on each other, and how that is stored and walked.

Knows nothing of the web, of the environment or of the clock: `now` is always passed in.
"""
