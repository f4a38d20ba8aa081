"""Planes that were decoded from a JPEG, by its coefficients. Knows planes; no tiles, no files."""
