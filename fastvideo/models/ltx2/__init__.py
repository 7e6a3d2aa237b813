"""LTX-2 (2.0 and 2.3) as plain torch modules that carry the tensor names of the official checkpoints."""
