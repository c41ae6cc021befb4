"""What is computed of each block: evidence for lines first, then places of buildings; and the files that hold it."""

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from projects.geodata.polygonal import translate
from projects.storage.atomic_files import replacing

from .blocks import Block, BlockImage, Source, read_block
from .edges import EdgeMaps
from .heights import ASSUMED, KNOWN, Zero, find_zero
from .line_search import Line, LineGrid, line_evidence
from .outlines import Outlines
from .placement import SURE, Placement, cover_of, place
from .scores import excess
from .shadows import Shadows, shadow_heights, shadow_per_m

LEAST_SPREAD_M = 1.0  # of leans, 10 to 90 %; and 2.6 times the scatter, as of a normal distribution
LEVEL = 0.1  # tangent of an angle below which the direction of the lean does not matter for shadows
HEIGHT_DEVIATION_M = 1.0  # of stated heights from those seen


@dataclass(frozen=True)
class ViewKnowledge:
    """What is stated of a view.

    Attributes:
        off_nadir_deg: None is unknown.
        azimuth_deg: Direction in which roofs lean, clockwise from north; None is unknown.
        registration_m: East and north from a label to where the ground below it is seen; None is unknown.
        max_shift_m: Longest registration shift that is searched.
        max_lean_m: Longest lean.
        max_height_m: Of buildings whose shadows are looked for.
        sun_deg: Elevation of the sun and direction towards it; None is unknown.
    """

    off_nadir_deg: float | None
    azimuth_deg: float | None
    registration_m: tuple[float, float] | None
    max_shift_m: float
    max_lean_m: float
    max_height_m: float
    sun_deg: tuple[float, float] | None = None

    @property
    def grid(self) -> LineGrid:
        """The lines that are tried."""
        if self.azimuth_deg is None:
            return LineGrid(self.max_shift_m, self.max_lean_m)
        return LineGrid(self.max_shift_m, self.max_lean_m, (self.azimuth_deg,))


@dataclass(frozen=True)
class BlockResult:
    """Where the buildings of a block are.

    Attributes:
        line: Of its view.
        placement: Of its buildings.
        zero: Where leans begin.
        shadows: Heights that follow from shadows.
        held_out: Mean excess of edges along parts of the outlines that placed nothing, without and with a model; NaN if
            there is none.
        uses_model: Whether the probabilities of a model were used.
    """

    line: Line
    placement: Placement
    zero: Zero
    shadows: Shadows
    held_out: tuple[float, float] = (np.nan, np.nan)
    uses_model: bool = False

    @property
    def has_lean(self) -> bool:
        """Whether roofs lie along a line, not at one place."""
        return self.placement.spread_m >= max(LEAST_SPREAD_M, 2.6 * self.placement.scatter_m)

    def write(self, path: Path) -> None:
        """Write a file, as a whole."""
        told = {'zero': asdict(self.zero), 'held_out': self.held_out, 'uses_model': self.uses_model}
        told['line'] = asdict(self.line) | {'shift_m': self.line.shift_m.tolist()}
        arrays: dict[str, np.ndarray] = asdict(self.placement)
        arrays |= {f'shadow_{name}': values for name, values in asdict(self.shadows).items()}
        with replacing(path) as temporary, temporary.open('wb') as file:
            np.savez(file, allow_pickle=False, told=np.array(json.dumps(told)), **arrays)

    @classmethod
    def read(cls, path: Path) -> 'BlockResult':
        """Read what `write` wrote."""
        with np.load(path) as held:
            arrays: dict[str, Any] = {name: held[name] for name in held.files if name != 'told'}
            shadows = Shadows(arrays.pop('shadow_heights_m'), arrays.pop('shadow_deviations_m'))
            told = json.loads(str(held['told']))
        arrays['scatter_m'] = float(arrays['scatter_m'])
        line = Line(**told['line'] | {'shift_m': np.array(told['line']['shift_m'])})
        held_out = tuple(told['held_out'])
        return cls(
            line, Placement(**arrays), Zero(**told['zero']), shadows, (held_out[0], held_out[1]), told['uses_model']
        )


def search_block(source: Source, block: Block, view: ViewKnowledge, path: Path) -> None:
    """Write the evidence of a block for each line, by the image and, if there is one, with a model besides.

    Args:
        source: The image.
        block: Of it.
        view: What is stated.
        path: `.npz` to write.
    """
    held: dict[str, np.ndarray] = {}
    for name in ('image', 'model')[: 1 + (source.probabilities is not None)]:
        seen = read_block(source, block, is_coarse=True, with_probabilities=name == 'model')
        evidence, buildings = line_evidence(seen.edges, Outlines.of(seen.polygons_px), seen.gsd_m, view.grid)
        held |= {name: evidence.astype(np.float32), f'{name}_buildings': np.array(buildings)}
    with replacing(path) as temporary, temporary.open('wb') as file:
        np.savez(file, allow_pickle=False, **held)


def place_block(source: Source, block: Block, view: ViewKnowledge, lines: list[Line], path: Path) -> None:
    """Write where the buildings of a block are.

    Args:
        source: The image.
        block: Of it.
        view: What is stated.
        lines: By the image, and with the model besides, if there is one.
        path: `.npz` to write.
    """
    seen = read_block(source, block, is_coarse=False)
    result = _placed(seen, seen.edges, block, view, lines[0])
    if len(lines) > 1:
        both = read_block(source, block, is_coarse=False, with_probabilities=True)
        result = _with_model(seen, both.edges, block, view, lines, result)
    replace(result, shadows=_shadows(seen, view, result)).write(path)


def _placed(seen: BlockImage, edges: EdgeMaps, block: Block, view: ViewKnowledge, line: Line) -> BlockResult:
    outlines = Outlines.of(seen.polygons_px)
    lean_m = view.max_lean_m
    line, placement, fits = place(edges, outlines, line, seen.gsd_m, lean_m, turn=view.azimuth_deg is None)
    zero = find_zero(line, placement, fits, block.heights_m, view.off_nadir_deg, view.registration_m)
    if zero.source != ASSUMED:
        moves_m = placement.moves_m(line)
        ground_m = line.shift_m + zero.along_m * line.direction
        azimuth_deg = (line.azimuth_deg + 180 * zero.is_reversed) % 360
        margin = np.inf if zero.source == KNOWN else line.margin
        line = replace(line, shift_m=ground_m, azimuth_deg=azimuth_deg, margin=margin)
        expected_m = zero.tangent * block.heights_m if np.isfinite(zero.tangent) else None
        deviation_m = float(np.hypot(HEIGHT_DEVIATION_M, placement.scatter_m))
        cover = cover_of(outlines, line, moves_m, placement, seen.gsd_m, edges.size_px)
        _, placement, fits = place(
            edges, outlines, line, seen.gsd_m, lean_m, expected_m, deviation_m, rounds=1, cover=cover
        )
        zero = find_zero(line, placement, fits, block.heights_m, view.off_nadir_deg, view.registration_m)
    return BlockResult(line, placement, zero, Shadows.none(len(outlines.first) - 1))


def _shadows(seen: BlockImage, view: ViewKnowledge, result: BlockResult) -> Shadows:
    """Heights by the shadows of buildings that are placed surely, where the lean of a metre is known."""
    tangent = result.zero.tangent if np.isfinite(result.zero.tangent) else np.nan if result.has_lean else 0.0
    found = Shadows.none(len(seen.polygons_px))
    if view.sun_deg is None or not np.isfinite(tangent) or (tangent > LEVEL and not result.line.is_directed):
        return found
    per_m = shadow_per_m(*view.sun_deg) - tangent * result.line.direction
    roofs_px = translate(seen.polygons_px, result.placement.moves_m(result.line) * (1, -1) / seen.gsd_m)
    seen_m = shadow_heights(seen.rgb, seen.valid, roofs_px, per_m * (1, -1) / seen.gsd_m, seen.gsd_m, view.max_height_m)
    sure = result.placement.confidence >= SURE
    return Shadows(*(np.where(sure, each, np.nan) for each in (seen_m.heights_m, seen_m.deviations_m)))


def _with_model(
    seen: BlockImage,
    both: EdgeMaps,
    block: Block,
    view: ViewKnowledge,
    lines: list[Line],
    without: BlockResult,
) -> BlockResult:
    """The second round, if what neither round saw, every second stretch of the outlines, fits the image better."""
    placing, held_out = Outlines.of(seen.polygons_px).halves()
    scores = []
    for edges, line in zip((seen.edges, both), lines, strict=True):
        line, placement, _ = place(edges, placing, line, seen.gsd_m, view.max_lean_m, turn=view.azimuth_deg is None)
        moves_px = placement.moves_m(line) * (1, -1) / seen.gsd_m
        told = np.flatnonzero(placement.inside & (np.diff(held_out.first) > 0))
        of_each = [excess(seen.edges, held_out, number, moves_px[number]) for number in told.tolist()]
        scores.append(float(np.nanmean(of_each)) if np.isfinite(of_each).any() else np.nan)
    result = _placed(seen, both, block, view, lines[1]) if scores[1] > scores[0] else without
    return replace(result, held_out=(scores[0], scores[1]), uses_model=scores[1] > scores[0])
