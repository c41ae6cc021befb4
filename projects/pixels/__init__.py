"""Pixels of image files and masks."""
