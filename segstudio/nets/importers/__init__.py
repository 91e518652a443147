"""Checkpoints of other projects, recognised by their keys and shapes, under our names."""
