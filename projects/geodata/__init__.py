"""Georeferenced rasters and vectors on disk, and the coordinate systems that they lie in."""
