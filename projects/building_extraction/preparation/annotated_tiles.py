"""Annotated map tiles: divided into training, validation and test, and written as COCO instance files."""

import json
from collections import Counter, defaultdict
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .geotiles_report import GeotilesReport, SplitCounts
from .spatial_split import Block, SplitError, choose_val_blocks, leave_strip_out, shared_sides
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
    written: list[AnnotatedTile], val_share: float, partition: tuple[int, int] | None, report: GeotilesReport
) -> dict[str, list[AnnotatedTile]]:
    """Divide tiles by blocks of ground, and let each part ignore the buildings that the parts before it see too.

    Args:
        written: All tiles. In those that go to validation or test, `iscrowd` is set where it applies.
        val_share: Share of the tiles wanted for validation, where there is no `partition`.
        partition: Which strip of how many is the test; see `leave_strip_out`. None: there is no test.
        report: Says the `block_zoom`; receives the contents of the splits.

    Returns:
        The tiles of `train`, `val` and, with a partition, `test`.

    Raises:
        ValueError: No split leaves instances on all sides.
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
        if partition is None:
            held_out = {'val': choose_val_blocks(num_tiles, instances, seen, val_share)}
        else:
            test, val = leave_strip_out(num_tiles, *partition)
            held_out = {'val': val, 'test': test}
    except SplitError as error:
        raise ValueError(
            f'cannot split into training and validation: {error} at zoom {report.block_zoom}. Add tiles or labels, '
            'leave out --block-zoom, or leave out the tiles of the coarsest zoom: they set the size of the blocks'
        ) from error
    report.shared_sides = shared_sides(num_tiles, set().union(*held_out.values()))
    part_of = {block: name for name, part in held_out.items() for block in part}
    splits: dict[str, list[AnnotatedTile]] = {'train': [], **{name: [] for name in held_out}}
    for block, tile in zip(blocks, written, strict=True):
        splits[part_of.get(block, 'train')].append(tile)
    seen_before: set[int] = set()
    for name, part in splits.items():
        report.splits[name] = _count_and_ignore_border(part, seen_before)
        if not report.splits[name].instances:
            raise ValueError(f'{name} has no building of its own: choose another partition, or fewer strips')
        seen_before |= set().union(*(tile.seen for tile in part))
    return splits


def _count_and_ignore_border(part: list[AnnotatedTile], seen_before: set[int]) -> SplitCounts:
    annotations = [annotation for tile in part for annotation in tile.annotations]
    mostly_transparent = sum(annotation['iscrowd'] for annotation in annotations)
    for annotation in annotations:
        annotation['iscrowd'] |= int(annotation['feature'] in seen_before)
    ignored = sum(annotation['iscrowd'] for annotation in annotations)
    return SplitCounts(
        tiles=len(part),
        instances=len(annotations) - ignored,
        mostly_transparent=mostly_transparent,
        on_the_border=ignored - mostly_transparent,
        empty_tiles=sum(not tile.instances() for tile in part),
        building_share=float(np.mean([tile.building_share for tile in part])) if part else 0.0,
    )


def write_annotations(
    folder: Path, splits: dict[str, list[AnnotatedTile]], arguments: dict[str, Any], report: GeotilesReport
) -> None:
    """Write `annotations/PART.json` and, the same, `PART/instances.json`; ids are unique over all parts.

    Args:
        folder: The set.
        splits: The tiles of each file.
        arguments: Sources and settings, for `info`.
        report: Counts, for `info`.
    """
    info = {'description': 'Buildings in web-mercator tiles', 'skyline': skyline_version(), 'arguments': arguments}
    info['counts'] = asdict(report)
    content = None
    for name, part in splits.items():
        content = coco_file(part, info, after=content)
        for file in (folder / 'annotations' / f'{name}.json', folder / name / 'instances.json'):
            file.write_text(json.dumps(content), encoding='utf-8')
