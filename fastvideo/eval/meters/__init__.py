"""Meters: what a clip shows and sounds like, from its pixels and samples alone.

Frames are uint8 [T, H, W, 3], RGB, H = W. Places and sizes are in frame heights, as in the world.
"""
