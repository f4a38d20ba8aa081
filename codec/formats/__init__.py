"""Image files other than PNG, and which of them a file is. Knows nothing of .ardm files."""
