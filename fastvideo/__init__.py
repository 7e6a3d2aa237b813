"""Real-time AI video as a live stream."""

__version__ = "0.1.0"
