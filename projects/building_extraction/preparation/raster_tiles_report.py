"""What the conversion of an image did, in words."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

MAX_LISTED = 20


@dataclass
class RasterTilesReport:
    """What was read, written and left out.

    Attributes:
        gsd_m: Ground sample distance at the image's centre.
        buildings: Polygons on the image.
        notes: What was decided on reading the image.
        found: Tiles of the grid.
        empty: Tiles of which almost no pixel has data.
        bad: Unreadable tiles, with the reason.
        block_m: Side of the blocks of ground that were split.
        parts: Contents of each part, those dropped between parts included.
    """

    gsd_m: float
    buildings: int
    notes: list[str]
    found: int = 0
    empty: int = 0
    bad: dict[str, str] = field(default_factory=dict)
    block_m: float = 0.0
    parts: dict[str, dict[str, float]] = field(default_factory=dict)

    def count(self, part: str, tiles: Sequence[Any]) -> None:
        """Add up the tiles of one part; buildings of which another part sees more count there alone.

        Args:
            part: Its name.
            tiles: `RasterTile`s.
        """
        annotations = [a for tile in tiles for a in tile.annotations if a['instance'] not in tile.ignored]
        ignored = [a for tile in tiles for a in tile.annotations if a['instance'] in tile.ignored]
        self.parts[part] = {
            'tiles': len(tiles),
            'instances': len(annotations),
            'buildings': len({a['building'] for a in annotations}),
            'ignored': len({a['building'] for a in ignored}),
            'unknown_heights': len({a['building'] for a in annotations if a['building_height'] is None}),
            'building_share': sum(a['area'] for a in annotations) / max(sum(tile.valid_px for tile in tiles), 1),
        }

    def __str__(self) -> str:
        lines = [
            f'image      {"; ".join(self.notes)}; {self.gsd_m:.4g} m per pixel',
            f'labels     {self.buildings} polygons on the image',
            f'tiles      {self.found} in the grid; left out: {self.empty} (almost) without data, '
            f'{len(self.bad)} unreadable',
            f'split      by blocks of {self.block_m:.4g} m',
        ]
        for part, counts in self.parts.items():
            lines.append(
                f'{part:<10} {counts["tiles"]} tiles, {counts["buildings"]} buildings '
                f'({counts["unknown_heights"]} of unknown height), {counts["building_share"]:.1%} building'
                + (f'; {counts["ignored"]} more ignored, of which another part sees more' if counts['ignored'] else '')
                + (' (within the margin between the parts, left out)' if part == 'dropped' else '')
            )
        lines += [f'unreadable {name}: {reason}' for name, reason in list(self.bad.items())[:MAX_LISTED]]
        if len(self.bad) > MAX_LISTED:
            lines.append(f'unreadable {len(self.bad) - MAX_LISTED} more, listed in parameters.json')
        return '\n'.join(lines)
