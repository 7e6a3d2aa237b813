"""Coding of pictures and sound into one continuous fragmented MP4 timeline."""
