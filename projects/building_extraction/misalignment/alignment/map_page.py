"""An alignment as a map: the image, the labels as they were given, and where their roofs and footprints are."""

from dataclasses import replace
from pathlib import Path

from projects.geodata.raster_files import open_raster
from projects.geodata.raster_pictures import place_of, read_picture, to_pixels
from projects.geodata.vector_files import geopandas
from projects.reporting.map_shapes import SCORES, Coloring, Shapes
from projects.reporting.maps import MapView, Picture, level_for, write_map_page

from ...height_classes import HeightClasses
from .align import Alignment
from .report import COLORS
from .settings import AlignmentSettings

CONFIDENCE = replace(SCORES, name='confidence')


def write_map(
    alignment: Alignment,
    roofs: geopandas.GeoDataFrame,
    footprints: geopandas.GeoDataFrame,
    settings: AlignmentSettings,
    classes: HeightClasses,
    path: Path,
    command: str,
) -> None:
    """Write a page with a map, which needs nothing else; it appears complete or not at all.

    Args:
        alignment: Of `align`.
        roofs: Of `aligned_labels`.
        footprints: Likewise.
        settings: Of the alignment.
        classes: Of heights.
        path: `.html` in an existing folder.
        command: What made the alignment.
    """
    with open_raster(settings.image, bands=settings.bands) as raster:
        level = level_for(raster.size_px)
        picture, _ = read_picture(raster, level, f'{settings.image.name} for its map')
        place, transform, size_px, crs = place_of(raster), raster.transform, raster.size_px, raster.crs
    columns = {name: roofs[name].to_numpy() for name in roofs.columns.drop('geometry')}
    colorings = (
        Coloring.by_value('status', roofs['status'], COLORS),
        Coloring.by_value('height class', roofs['height_class'], classes.colors),
        CONFIDENCE.coloring(roofs['confidence'].to_numpy()),
    )
    layers = {'footprints': footprints, 'labels as given': alignment.labels, 'roofs as aligned': roofs}
    shapes = [
        Shapes(
            name,
            to_pixels(frame.geometry.to_crs(crs).to_numpy(), transform),
            columns,
            colorings,
            roofs['confidence'].to_numpy(),
        )
        for name, frame in layers.items()
    ]
    view = MapView(settings.image.name, size_px, [Picture('image', picture, level)], shapes, place, alignment.notes)
    facts = {'image': str(settings.image), 'labels': str(settings.labels), 'command': command}
    title = f'{settings.labels.name} on {settings.image.name}'
    write_map_page(path, title, [view], facts)
