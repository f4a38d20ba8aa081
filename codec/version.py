"""The release number, alone, so that packaging can read it without importing anything."""

__version__ = "0.5.0"
