"""What makes a video good, measured."""
