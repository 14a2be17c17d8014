"""Stores that batches land in. ``base`` says what a sink is; each other file is one kind of store."""
