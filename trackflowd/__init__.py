"""TrackFlow: self-hosted tracking, where an event answered 2xx is stored exactly once."""

__version__ = "0.1.0"
