"""Pixels to words and back. Knows planes of samples; no tiles, no files."""
