"""Predictions on georeferenced images of any size, window by window."""
