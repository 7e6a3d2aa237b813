"""The transformer over several processes, which share the tokens of the picture."""
