"""The very bytes of a PNG file again: zlib's compressor, and what tells another compressor from it."""
