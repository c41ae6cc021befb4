"""Where a study's tiles come from: rendered scenes, or sets that stand on disk."""

import json
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from projects.city_scenes.city import City
from projects.city_scenes.domains import Domain
from projects.city_scenes.footprints import read_city
from projects.city_scenes.procedural_city import procedural_city
from projects.storage.locations import locate
from projects.training.experiments.settings import check_keys

from ..height_classes import HeightClasses
from ..preparation.scenes.tiles import write_scenes
from .source_labels import STATED, write_source_masks

SPLITS = ('source', 'target', 'val', 'test')


class TileSource(ABC):
    """Gives each replicate of a study a folder of tiles: `{source,target,val,test}/{images,masks}/TILE.*`.

    Beside these, `SPLIT/buildings/TILE.json` and `SPLIT/heights/TILE.tif` (as `preparation` writes them) make scores
    per height class and pictures of heights possible; `parameters.json` in the folder says what the set was made from,
    so that runs on another one are not taken for the same. A source is a frozen dataclass, whose fields stand in a
    study as `data = dict(type=NAME, …)`; `sources` lists the names.

    Attributes:
        city: Of the source's scenes, as `city_of` takes it.
    """

    city: Mapping[str, Any]

    @property
    def has_source(self) -> bool:
        """Whether there is a source domain; studies whose methods all learn from the target alone need none."""
        return True

    @abstractmethod
    def describe(self) -> str:
        """What the images show, in words for the report."""

    @abstractmethod
    def prepare(self, replicate: int, folder: Path, classes: HeightClasses, like: Path | None = None) -> Path:
        """Write the tiles of a replicate, unless they are there.

        Args:
            replicate: From 0; each has its own partition of the ground and its own chance, both drawn from the number.
            folder: May be written, and nothing beside it.
            classes: Height classes to spread over the splits.
            like: The set of the same replicate at the study's own settings, splits of which may be the same.

        Returns:
            The folder of the set, as `data_root` of configs: `folder`, or one that is elsewhere.
        """

    def label_source(self, data_root: Path, labels: str) -> None:
        """Write masks of other labels of the source, in the folder that `source_labels.MASKS` names.

        Args:
            data_root: Of `prepare`.
            labels: Of `MASKS`.

        Raises:
            ValueError: The source's stated labels are no footprints, which alone can be aligned.
        """
        if labels != STATED:
            write_source_masks(data_root, labels, lambda: city_of(self.city)[0])

    def about_source(self) -> dict[str, Any]:
        """What the source domain is, by names with units (`off_nadir_deg`), for a table."""
        return {}

    def misalignment(self, data_root: Path, classes: HeightClasses) -> dict[str, dict[str, float]]:
        """How far the source's labels lie from the buildings that are seen, by height class; {} if that is unknown.

        Returns:
            For each class that occurs: `median_px`, `p90_px`, `median_m` of the distance; the number of `buildings`.
        """
        return {}


@dataclass(frozen=True)
class RenderedScenes(TileSource):
    """Scenes of a city, rendered.

    Attributes:
        city: `footprints` (files of which the first that exists is taken), their columns, `otherwise` (size and seed of
            the procedural city).
        gsd_m: Metres a pixel.
        tile_px: Side of a tile.
        domains: Of the splits source, target, val and test; arguments of `city_scenes.domains.Domain`. The source may
            be missing.
        ground_shares: Their parts of the ground; by default in proportion to the numbers of tiles.
        gap_off_nadir_deg: Of `write_scenes`: sets that differ in these splits' angles have the same ground.
        seed: Of the first replicate; the next ones follow.
    """

    city: Mapping[str, Any]
    gsd_m: float
    tile_px: int
    domains: Mapping[str, Mapping[str, Any]]
    ground_shares: Mapping[str, float] | None = None
    gap_off_nadir_deg: Mapping[str, float] | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        if self.domains.keys() | {'source'} != set(SPLITS):
            raise ValueError(f'data.domains are {sorted(self.domains)}; expected {", ".join(SPLITS)}')

    @property
    def has_source(self) -> bool:
        return 'source' in self.domains

    def describe(self) -> str:
        return city_of(self.city)[1]

    def prepare(self, replicate: int, folder: Path, classes: HeightClasses, like: Path | None = None) -> Path:
        write_scenes(
            city_of(self.city)[0],
            {split: Domain(**domain) for split, domain in self.domains.items()},
            self.gsd_m,
            self.tile_px,
            folder,
            self.seed + replicate,
            ground_shares=self.ground_shares,
            height_classes=classes,
            gap_off_nadir_deg=self.gap_off_nadir_deg,
            like=like,
        )
        return folder

    def about_source(self) -> dict[str, Any]:
        return dict(self.domains.get('source', {}))

    def misalignment(self, data_root: Path, classes: HeightClasses) -> dict[str, dict[str, float]]:
        """Footprints lie off by the roofs' offset and by the registration error, other labels by the latter alone."""
        distances_px: dict[str, list[float]] = {}
        for file in sorted((data_root / 'source' / 'buildings').glob('*.json')):
            for building in json.loads(file.read_text()):
                if building['height_m'] is not None:
                    name = classes.names[int(classes.index(building['height_m']))]
                    lean_px = building['offset_px'] if self.domains['source']['label'] == 'footprint' else (0, 0)
                    east_m, north_m = building['label_displacement_m']
                    moved_px = (east_m / self.gsd_m - lean_px[0], -north_m / self.gsd_m - lean_px[1])
                    distances_px.setdefault(name, []).append(float(np.hypot(*moved_px)))
        return {
            name: {
                'median_px': round(float(np.median(distances_px[name])), 1),
                'p90_px': round(float(np.quantile(distances_px[name], 0.9)), 1),
                'median_m': round(float(np.median(distances_px[name])) * self.gsd_m, 1),
                'buildings': len(distances_px[name]),
            }
            for name in classes.names
            if name in distances_px
        }


def city_of(settings: Mapping[str, Any]) -> tuple[City, str]:
    """The first of the footprint files that exists, else the invented city; and what it is.

    Args:
        settings: `footprints`, `height_column`, `structure_column`; `otherwise`: arguments of `procedural_city`.
    """
    for name in settings.get('footprints', ()):
        if (path := locate(name)).is_file():
            return read_city(path, settings.get('height_column'), settings.get('structure_column')), path.name
    invented = dict(settings['otherwise'])
    about = f', {invented["pattern"]}' if 'pattern' in invented else ''
    return procedural_city(**invented), f'procedural city of {invented["size_m"]} m, seed {invented["seed"]}{about}'


def sources() -> dict[str, type[TileSource]]:
    """The sources that there are, by name."""
    from .real_tiles import RealTiles  # which is one of this module's

    return {source.__name__: source for source in (RenderedScenes, RealTiles)}


def tile_source(data: Mapping[str, Any]) -> TileSource:
    """Build the source that a study's `data` describes.

    Args:
        data: `type`, a name in `sources`, and the fields of that class.

    Raises:
        ValueError: The type, or a field, is unknown, or one is missing.
    """
    settings = dict(data)
    kind = settings.pop('type', None)
    if kind not in sources():
        raise ValueError(f'data.type is {kind!r}; expected one of {", ".join(sources())}')
    source: Any = sources()[kind]
    known = {field.name: field.default is MISSING for field in fields(source)}
    check_keys('data', settings, known)
    return source(**settings)


def choose_panels(data_root: Path, number: int, classes: HeightClasses) -> list[str]:
    """Test tiles to look at: those with the most height classes and the highest buildings, or evenly spread ones.

    Args:
        data_root: Of a tile set.
        number: How many.
        classes: The height classes.
    """
    ranked = []
    for file in sorted((data_root / 'test' / 'buildings').glob('*.json')):
        known = [building.get('height_m') for building in json.loads(file.read_text())]
        heights_m = [height_m for height_m in known if height_m is not None]
        present = {int(index) for index in classes.index(np.array(heights_m, float))}
        ranked.append((-len(present), -max(heights_m, default=0), file.stem))
    if any(classes_seen for classes_seen, *_ in ranked):
        return [name for *_, name in sorted(ranked)[:number]]
    names = tiles(data_root, 'test')
    return [names[index] for index in np.unique(np.linspace(0, len(names) - 1, min(number, len(names))).astype(int))]


def tiles(data_root: Path, split: str) -> list[str]:
    """Names of a split's tiles, without suffix, in order."""
    return sorted({path.stem for path in (data_root / split / 'images').glob('*') if path.suffix != '.xml'})
