"""Recordings of sessions: written as fragments pass, kept within bounds, and served over HTTP."""
