"""Neural networks, one package a model family."""
