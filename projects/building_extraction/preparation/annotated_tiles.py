"""Annotated map tiles: divided into training and validation, and written as COCO instance files."""

import json
from collections import Counter, defaultdict
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .geotiles_report import GeotilesReport, SplitCounts
from .spatial_split import Block, SplitError, choose_val_blocks, shared_sides
from .tile_set import WrittenTile, coco_file, skyline_version
from .web_mercator import Tile


@dataclass(frozen=True)
class AnnotatedTile(WrittenTile):
    """A map tile.

    Attributes:
        seen: Features that reach into it, those without annotation included.
        building_share: Share of its visible pixels that is building.
    """

    seen: set[int]
    building_share: float

    @property
    def tile(self) -> Tile:
        """Its place in the grid."""
        return Tile(*self.image['tile'])

    def instances(self) -> set[int]:
        """Features that count here."""
        return {annotation['feature'] for annotation in self.annotations if not annotation['iscrowd']}


def split_tiles(
    written: list[AnnotatedTile], val_share: float, report: GeotilesReport
) -> dict[str, list[AnnotatedTile]]:
    """Divide tiles by blocks of ground, and let validation ignore the buildings of which training sees a part.

    Args:
        written: All tiles. In those that go to validation, `iscrowd` is set where it applies.
        val_share: Share of the tiles wanted for validation.
        report: Says the `block_zoom`; receives the contents of the splits.

    Returns:
        The tiles of `train` and of `val`.

    Raises:
        ValueError: No split leaves instances on both sides.
    """
    num_tiles: Counter[Block] = Counter()
    instances: dict[Block, set[int]] = defaultdict(set)
    seen: dict[Block, set[int]] = defaultdict(set)
    blocks = [Block(*tile.tile.ancestor(report.block_zoom)[1:]) for tile in written]
    for block, tile in zip(blocks, written, strict=True):
        num_tiles[block] += 1
        instances[block] |= tile.instances()
        seen[block] |= tile.seen
    try:
        val_blocks = choose_val_blocks(num_tiles, instances, seen, val_share)
    except SplitError as error:
        raise ValueError(
            f'cannot split into training and validation: {error} at zoom {report.block_zoom}. Add tiles or labels, '
            'leave out --block-zoom, or leave out the tiles of the coarsest zoom: they set the size of the blocks'
        ) from error
    report.shared_sides = shared_sides(num_tiles, val_blocks)
    splits: dict[str, list[AnnotatedTile]] = {'train': [], 'val': []}
    for block, tile in zip(blocks, written, strict=True):
        splits['val' if block in val_blocks else 'train'].append(tile)
    seen_in_training = set().union(*(tile.seen for tile in splits['train']))
    for name, part in splits.items():
        report.splits[name] = _count_and_ignore_border(part, seen_in_training if name == 'val' else set())
    return splits


def _count_and_ignore_border(part: list[AnnotatedTile], seen_in_training: set[int]) -> SplitCounts:
    annotations = [annotation for tile in part for annotation in tile.annotations]
    mostly_transparent = sum(annotation['iscrowd'] for annotation in annotations)
    for annotation in annotations:
        annotation['iscrowd'] |= int(annotation['feature'] in seen_in_training)
    ignored = sum(annotation['iscrowd'] for annotation in annotations)
    return SplitCounts(
        tiles=len(part),
        instances=len(annotations) - ignored,
        mostly_transparent=mostly_transparent,
        on_the_border=ignored - mostly_transparent,
        empty_tiles=sum(not tile.instances() for tile in part),
        building_share=float(np.mean([tile.building_share for tile in part])),
    )


def write_annotations(
    folder: Path, splits: dict[str, list[AnnotatedTile]], arguments: dict[str, Any], report: GeotilesReport
) -> None:
    """Write `train.json` and `val.json`; image and annotation ids are unique over both.

    Args:
        folder: Where to write.
        splits: The tiles of each file.
        arguments: Sources and settings, for `info`.
        report: Counts, for `info`.
    """
    info = {'description': 'Buildings in web-mercator tiles', 'skyline': skyline_version(), 'arguments': arguments}
    info['counts'] = asdict(report)
    content = None
    for name, part in splits.items():
        content = coco_file(part, info, after=content)
        (folder / f'{name}.json').write_text(json.dumps(content), encoding='utf-8')
