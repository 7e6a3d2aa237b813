"""The OpenAI-style HTTP API: videos and images as jobs, made by the workers that make live streams."""
