"""Measuring TrackFlow: what an event costs, beside what nginx costs, in one run with one generator."""
