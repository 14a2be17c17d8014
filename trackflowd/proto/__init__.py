"""Meaning without I/O: bytes in, values out; values in, bytes out."""
