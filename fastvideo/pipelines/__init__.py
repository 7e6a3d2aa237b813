"""Pipelines: from a request to frames, sound and a state."""
