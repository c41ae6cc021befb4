"""From rasters to polygons: regions, outlines, simplification, right angles, files."""
