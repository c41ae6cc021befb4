"""What the conversion of map tiles did, in words."""

from dataclasses import dataclass, field

MAX_LISTED = 20


@dataclass
class SplitCounts:
    """Contents of one side of the split.

    Attributes:
        tiles: Images.
        instances: Annotations that count.
        mostly_transparent: Annotations with `iscrowd` 1, since too little of the building can be seen.
        on_the_border: Annotations with `iscrowd` 1, since training sees another part of the building.
        empty_tiles: Images without instance.
        building_share: Mean share of the visible pixels that is building.
    """

    tiles: int
    instances: int
    mostly_transparent: int
    on_the_border: int
    empty_tiles: int
    building_share: float


@dataclass
class GeotilesReport:
    """What was read, written and left out.

    Attributes:
        found: Tiles found.
        unnamed: Images whose name is no tile.
        transparent: Tiles left out since no pixel is visible.
        bad: Tiles left out since they cannot be read, with the reason.
        labels: Features used, repaired and left out.
        left_out: Instances left out, by reason.
        block_zoom: Zoom of the blocks that were split.
        shared_sides: Sides that blocks of validation and test share with training blocks.
        gsd_m: Mean ground sample distance per zoom.
        splits: Contents of `train`, `val` and, if there is one, `test`.
    """

    found: int
    unnamed: list[str]
    labels: dict[str, int]
    block_zoom: int
    transparent: list[str] = field(default_factory=list)
    bad: list[str] = field(default_factory=list)
    left_out: dict[str, int] = field(default_factory=dict)
    shared_sides: int = 0
    gsd_m: dict[int, float] = field(default_factory=dict)
    splits: dict[str, SplitCounts] = field(default_factory=dict)

    def __str__(self) -> str:
        used = sum(split.tiles for split in self.splits.values())
        lines = [
            f'tiles      {used} used of {self.found} found; left out: {len(self.transparent)} wholly transparent, '
            f'{len(self.bad)} unreadable; {len(self.unnamed)} images whose name is no tile',
            f'outlines   {_listing(self.labels)}',
            f'instances  left out: {_listing(self.left_out) or "none"}',
            *(f'zoom {zoom:<5} {gsd_m:.3f} m per pixel' for zoom, gsd_m in self.gsd_m.items()),
            f'split      by blocks of zoom {self.block_zoom}; {self.shared_sides} sides lie between train and the rest',
        ]
        for name, split in self.splits.items():
            lines.append(
                f'{name:<10} {split.tiles} tiles ({split.tiles / used:.1%}), {split.instances} instances, '
                f'{split.empty_tiles} tiles without; {split.building_share:.1%} building; ignored: '
                f'{split.mostly_transparent} mostly transparent, {split.on_the_border} cut by the split'
            )
        for title, names in (('unreadable', self.bad), ('no tile name', self.unnamed)):
            lines += [f'{title}: {name}' for name in names[:MAX_LISTED]]
            if len(names) > MAX_LISTED:
                lines.append(f'{title}: {len(names) - MAX_LISTED} more, listed under info in train.json')
        return '\n'.join(lines)


def _listing(counts: dict[str, int]) -> str:
    return ', '.join(f'{count} {reason}' for reason, count in counts.items())
