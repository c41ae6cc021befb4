"""What an alignment leaves on disk: roofs and footprints as layers, a table, a picture, a map."""

import json
from pathlib import Path
from typing import Any

from projects.geodata.vector_files import write_layers
from projects.storage.atomic_files import write_file

from ...height_classes import HeightClasses
from .align import Alignment
from .aligned_labels import aligned_labels
from .map_page import write_map
from .report import as_text, summary, write_picture
from .settings import AlignmentSettings


def write_results(
    alignment: Alignment, settings: AlignmentSettings, out: Path, map_command: str | None = None
) -> tuple[str, dict[str, Any], list[Path]]:
    """Write all that came of an alignment, each file complete or not at all.

    Args:
        alignment: Of `align`.
        settings: Of the alignment.
        out: `.gpkg` in an existing folder; the others lie beside it.
        map_command: What made the alignment, for the page with a map; None: there is no such page.

    Returns:
        What people read of it, its `summary`, and the files.
    """
    classes = HeightClasses()
    roofs, footprints = aligned_labels(alignment, classes)
    table, picture, page = (out.with_suffix(suffix) for suffix in ('.json', '.png', '.html'))
    write_picture(alignment, roofs, settings.image, settings.bands, picture)
    content = summary(alignment, roofs, classes)
    write_file(table, json.dumps(content, indent=1))
    write_layers({'roofs': roofs, 'footprints': footprints}, out)
    files = [out, table, picture]
    if map_command is not None:
        write_map(alignment, roofs, footprints, settings, classes, page, map_command)
        files.append(page)
    return as_text(alignment, roofs, classes), content, files
