"""A load generator against a running server: jobs of the HTTP API, or live streams."""
