"""Sets that are there already: the very one that is wanted, and one that has some splits in common with it."""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import shapely

from projects.city_scenes.city import City
from projects.storage.parameters import differences, digest

from ...height_classes import HeightClasses
from .report import ScenesReport, SplitCounts

DIGESTS = 'split_digests'
DECIDE_BESIDE_JOBS = ('layout', 'city', 'crs')


def fingerprint(city: City) -> str:
    """A short text that differs if anything in the city does."""
    buildings = city.buildings
    polygons = (buildings.polygons, city.roads, city.vegetation)
    return digest(
        [
            *(part for each in polygons for part in (*shapely.to_wkb(each), b'|')),
            np.asarray(buildings.heights_m, dtype='<f8').tobytes(),
            np.asarray(buildings.structures, dtype='<i8').tobytes(),
            *shapely.to_wkb(city.car_parks),
        ]
    )


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


def shared_splits(other: Path, parameters: Mapping[str, Any], digests: Mapping[str, str]) -> dict[str, SplitCounts]:
    """The splits that come out the same as in another set, with what they hold.

    Args:
        other: A finished set.
        parameters: What the wanted set is made with.
        digests: Of each wanted split.

    Raises:
        FileNotFoundError: There is no finished set.
    """
    held = json.loads((other / 'parameters.json').read_text())
    if differences(*({key: these[key] for key in DECIDE_BESIDE_JOBS} for these in (held, parameters))):
        return {}
    theirs = held.get(DIGESTS, {})
    return {name: SplitCounts(**held['counts'][name]) for name, own in digests.items() if theirs.get(name) == own}


def copy_split(other: Path, folder: Path, name: str, info: Mapping[str, Any]) -> None:
    """Copies the files of a split.

    Args:
        other: The set that has it.
        folder: The set that receives it.
        name: Of the split.
        info: What the copied COCO file says about its set.
    """
    shutil.copytree(other / name, folder / name, dirs_exist_ok=True)
    shutil.copy2(other / f'{name}.png', folder)
    coco = folder / name / 'instances.json'
    coco.write_text(json.dumps(json.loads(coco.read_text()) | {'info': info}))
