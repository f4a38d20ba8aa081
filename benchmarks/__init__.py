"""Measurements of size, speed and memory. Every number in the README comes from a script in this folder."""
