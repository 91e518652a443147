"""Panels around the canvas; each refreshes by change flags and knows no other panel."""
