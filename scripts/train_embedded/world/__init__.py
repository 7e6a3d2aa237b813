"""A procedural world of moving, sounding shapes with captions: seeded, endless, exact at any time.

Coordinates are in frame heights, x to the right and y down, with the frame at 0..1 on both axes. Time is counted in
frames of 1/24 s from the story's start.
"""
