"""The streaming service: sessions over a WebSocket, segments from a pool of generators."""
