"""The canvas: one image, its labels and the tool in hand, drawn in tiles."""
