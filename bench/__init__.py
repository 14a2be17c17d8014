"""Measuring TrackFlow from outside: what an event costs, and whether the promise holds under faults."""
