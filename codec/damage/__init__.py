"""What is not there: damaged tiles, files that were cut off, images that never were."""
