"""The ``fastvideo`` command."""
