"""What a rendered data set holds, in numbers."""

from dataclasses import dataclass

from projects.reporting.tables import Table


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
        columns = ['split', 'tiles', 'empty', 'building share', *self.class_names]
        rows = [
            [name, *map(str, (split.tiles, split.empty_tiles)), f'{split.building_share:.1%}']
            + [str(split.buildings[kind]) for kind in self.class_names]
            for name, split in self.splits.items()
        ]
        lines = [] if self.written else ['nothing to do: the folder holds this very set', '']
        lines.append(Table('', columns, rows, numeric=columns[1:]).text(ruled=False))
        missing = [
            f'{name} has no {kind} building'
            for name, split in self.splits.items()
            for kind in self.class_names[:-1]
            if not split.buildings[kind]
        ]
        return '\n'.join([*lines, *missing])
