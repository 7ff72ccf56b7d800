"""The Headwater service."""
