"""Sends events to a TrackFlow daemon: ``Client(url, site).track("signup")``. README.md has examples."""

from trackflow_client.client import Client
from trackflow_client.stats import Stats

__all__ = ["Client", "Stats"]
