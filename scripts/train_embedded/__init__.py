"""Makes the embedded model: the procedural world it learns from, and the meters that judge what it shows."""
