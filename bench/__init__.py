"""What TrackFlow costs, measured: ``python -m bench`` (``make bench``)."""
