"""The polygons of any geometry; needs shapely alone."""

import shapely


def polygonal(geometry: shapely.Geometry) -> shapely.Geometry:
    """The polygons of a geometry, without the points and lines that clipping and repairing leave behind."""
    if geometry.geom_type in ('Polygon', 'MultiPolygon'):
        return geometry
    nested = shapely.get_parts(shapely.get_parts(geometry))
    return shapely.union_all([part for part in nested if part.geom_type == 'Polygon'])
