"""Tile sets of rendered scenes."""
