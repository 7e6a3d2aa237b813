"""The world that the embedded model knows: its words, its shapes and its notes.

Coordinates are in frame heights, x to the right and y down.
"""

FPS = 24
