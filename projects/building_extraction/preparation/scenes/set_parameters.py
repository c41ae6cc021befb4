"""Whether a folder holds the very set that is wanted."""

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import shapely

from projects.city_scenes.city import City
from projects.storage.parameters import differences

from ...height_classes import HeightClasses
from .report import ScenesReport, SplitCounts
from .shared_splits import DIGESTS


def fingerprint(city: City) -> str:
    """A short text that differs if anything in the city does."""
    digest = hashlib.sha256()
    for polygons in (city.buildings.polygons, city.roads, city.vegetation):
        for geometry in shapely.to_wkb(polygons):
            digest.update(geometry)
        digest.update(b'|')
    digest.update(np.asarray(city.buildings.heights_m, dtype='<f8').tobytes())
    digest.update(np.asarray(city.buildings.structures, dtype='<i8').tobytes())
    for geometry in shapely.to_wkb(city.car_parks):
        digest.update(geometry)
    return digest.hexdigest()[:16]


def find_finished(folder: Path, parameters: dict[str, Any]) -> ScenesReport | None:
    """The set that a folder holds already.

    Args:
        folder: It need not exist.
        parameters: What the wanted set is made with.

    Returns:
        Its counts; None if the folder is empty or missing.

    Raises:
        ValueError: It holds a set of other parameters, which are named, or other files.
    """
    if not folder.exists() or not any(folder.iterdir()):
        return None
    path = folder / 'parameters.json'
    held = json.loads(path.read_text()) if path.exists() else {}
    if 'counts' not in held:
        raise ValueError(f'{folder} holds other files than rendered scenes; choose a new or empty folder.')
    counts = held.pop('counts')
    held.pop(DIGESTS, None)  # follow from the others
    if differing := differences(held, parameters):
        raise ValueError(
            f'{folder} holds scenes made with other parameters: {"; ".join(differing)}. '
            'Choose another folder, or delete it.'
        )
    names = HeightClasses.from_json(parameters['height_classes']).names_with_unknown
    return ScenesReport({name: SplitCounts(**split) for name, split in counts.items()}, names, written=False)
