"""Pipelines of one model each."""
