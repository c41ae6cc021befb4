"""Real map tiles as target, validation and test of a study; rendered scenes at their resolution as its source."""

import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from projects.city_scenes.domains import Domain
from projects.storage.folders import replacing_folder
from projects.storage.locations import locate
from projects.storage.parameters import differences, digest

from ..height_classes import HeightClasses
from ..preparation.geotiles import GeotilesSettings, convert_geotiles
from ..preparation.scenes.tiles import write_scenes
from ..preparation.tile_set import LICENSE_NOTE
from .tile_sets import TileSource, city_of

SPLIT_OF = {'train': 'target', 'val': 'val', 'test': 'test'}


@dataclass(frozen=True)
class RealTiles(TileSource):
    """Real tiles of one place, and scenes of an invented city or of any footprints.

    Replicate i tests on strip i of the ground, of whole rows or columns of tiles, is validated on the row or column
    beside it and learns from the others (`preparation.spatial_split.leave_strip_out`); after as many replicates as
    strips all ground has been tested on once.

    Attributes:
        tiles: Folder of map tiles, as `tools/prepare_data.py geotiles` takes them.
        labels: GeoJSON of their building outlines.
        num_strips: How many strips the ground is cut into.
        city: Of the scenes, as `RenderedScenes` has it.
        source: How the scenes are seen and labelled: arguments of `city_scenes.domains.Domain`.
        gsd_m: Metres a pixel of the scenes; that of the tiles.
        tile_px: Side of a scene.
        seed: Of the scenes of the first replicate; the next ones follow.
    """

    tiles: str
    labels: str
    city: Mapping[str, Any]
    source: Mapping[str, Any]
    gsd_m: float
    num_strips: int = 4
    tile_px: int = 512
    seed: int = 0

    def describe(self) -> str:
        return f'real tiles of {self.tiles}; scenes of {city_of(self.city)[1]}'

    def about_source(self) -> dict[str, Any]:
        return dict(self.source)

    def prepare(self, replicate: int, folder: Path, classes: HeightClasses, like: Path | None = None) -> Path:
        """Write `source`, `target`, `val` and `test`, each with its note on licences.

        Raises:
            FileNotFoundError: The tiles or the labels are not there; says where to get them.
            ValueError: The folder holds another set, or the ground cannot be cut into so many strips.
        """
        tiles, labels = locate(self.tiles), locate(self.labels)
        for path in (tiles, labels):
            if not path.exists():
                raise FileNotFoundError(f'{path} does not exist; data/README.md says where real tiles are from')
        strip = replicate % self.num_strips + 1
        parameters = json.loads(
            json.dumps(asdict(self) | {'replicate': replicate, 'strip': strip, 'files': _digest(tiles, labels)})
        )
        if (file := folder / 'parameters.json').is_file():
            if differing := differences(json.loads(file.read_text()), parameters):
                raise ValueError(f'{folder} holds tiles made with other parameters: {"; ".join(differing)}; delete it')
            return folder
        with replacing_folder(folder) as unfinished:
            convert_geotiles(tiles, labels, unfinished / 'map', GeotilesSettings(partition=(strip, self.num_strips)))
            for part, split in SPLIT_OF.items():
                (unfinished / 'map' / part).rename(unfinished / split)
                shutil.copyfile(unfinished / 'map' / LICENSE_NOTE, unfinished / split / LICENSE_NOTE)
            write_scenes(
                city_of(self.city)[0],
                {'source': Domain(**self.source)},
                self.gsd_m,
                self.tile_px,
                unfinished / 'scenes',
                self.seed + replicate,
                height_classes=classes,
            )
            (unfinished / 'scenes' / 'source').rename(unfinished / 'source')
            (unfinished / 'scenes' / LICENSE_NOTE).rename(unfinished / 'source' / LICENSE_NOTE)
            for name in ('map', 'scenes'):
                shutil.rmtree(unfinished / name)
            (unfinished / '.scenes.lock').unlink(missing_ok=True)
            (unfinished / 'parameters.json').write_text(json.dumps(parameters, indent=1) + '\n')
        return folder


def _digest(tiles: Path, labels: Path) -> str:
    """A short text that differs if a tile, its name or the labels do."""
    paths = sorted(path for path in tiles.rglob('*') if path.is_file())
    files = (str(path.relative_to(tiles)).encode() + path.read_bytes() for path in paths)
    return digest(chain([labels.read_bytes()], files))
