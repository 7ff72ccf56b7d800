"""A real lineage, loaded through the public API."""
