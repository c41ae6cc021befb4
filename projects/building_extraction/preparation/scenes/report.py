"""What a rendered data set holds, in numbers."""

from dataclasses import dataclass


@dataclass(frozen=True)
class SplitCounts:
    """Contents of one split.

    Attributes:
        tiles: Number of tiles.
        empty_tiles: Of these, without any building in the label.
        building_share: Share of all pixels that the label calls building.
        buildings: Instances in each class of height, a building in two tiles counted twice.
    """

    tiles: int
    empty_tiles: int
    building_share: float
    buildings: dict[str, int]


@dataclass(frozen=True)
class ScenesReport:
    """Contents of a data set.

    Attributes:
        splits: Counts of each split.
        class_names: Classes of height, lowest first, then that of unknown height.
        written: False if the folder held the set already.
    """

    splits: dict[str, SplitCounts]
    class_names: tuple[str, ...]
    written: bool = True

    def __str__(self) -> str:
        lines = ['' if self.written else 'nothing to do: the folder holds this very set\n']
        head: list[str] = ['split', 'tiles', 'empty', 'building share', *self.class_names]
        rows: list[list[object]] = [
            [name, split.tiles, split.empty_tiles, f'{split.building_share:.1%}', *split.buildings.values()]
            for name, split in self.splits.items()
        ]
        for row in [list[object](head), *rows]:
            lines.append('  '.join(f'{value!s:>{max(len(title), 8)}}' for title, value in zip(head, row, strict=True)))
        missing = [
            f'{name} has no {kind} building'
            for name, split in self.splits.items()
            for kind in self.class_names[:-1]
            if not split.buildings[kind]
        ]
        return '\n'.join([*lines, *missing]).lstrip('\n')
