"""Servers that take the same traffic as trackflowd: one file each, one registry, one run."""
