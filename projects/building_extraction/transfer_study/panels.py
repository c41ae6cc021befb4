"""Pictures of a study's test tiles: image, label, and where each method is right and wrong."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import Runner
from PIL import Image

from projects.reporting.figures import add_legend, hide_axes, new_figure
from projects.reporting.maps import MapView, Picture
from projects.reporting.number_format import fixed
from projects.reporting.palette import SKY, VERMILLION, WHITE, YELLOW, rgb

from ..height_classes import HeightClasses
from ..mask_codes import BUILDING_GRAY, IGNORED_GRAY
from .records import MAIN, Results, RunRecord, StudyRecord
from .results import finished_runs, method_titles

RIGHT, FALSE, MISSED = SKY, VERMILLION, YELLOW
OUTCOMES: dict[str, str | None] = {'building found': RIGHT, 'false alarm': FALSE, 'building missed': MISSED}
CELL_INCHES = 2.1


@HOOKS.register_module()
class KeepPredictions(Hook):
    """Writes the predicted masks (0, 255) of chosen test tiles.

    Args:
        tiles: Names of images, without suffix.
        folder: Where to.
    """

    def __init__(self, tiles: Sequence[str], folder: str) -> None:
        self.tiles = set(tiles)
        self.folder = Path(folder)

    def after_test_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        for sample in outputs:
            name = Path(sample.img_path).stem
            if name in self.tiles:
                self.folder.mkdir(parents=True, exist_ok=True)
                mask = sample.pred_sem_seg.data[0].to(torch.uint8).cpu().numpy() * BUILDING_GRAY
                cv2.imwrite(str(self.folder / f'{name}.png'), mask)


def draw_panels(results: Results, folder: Path) -> Figure | None:
    """Draw a row per tile: the image, the label, and each method's prediction of the first replicate.

    Building pixels that a method finds, background that it takes for building and building that it misses have a
    colour each; ignored pixels have none. The label shows height classes if `study.json` names a folder
    `building_heights` with TILE.tif in metres (float32, NaN where unknown).

    Args:
        results: Of `read_results`.
        folder: The study's; relative folders of `study.json` start from it.

    Returns:
        The figure, or None if the study names no tiles.

    Raises:
        FileNotFoundError: If an image or a label of a tile is missing; a missing prediction is said in its place.
        ValueError: If a mask has other values than its kind may have, or another size than its image.
    """
    study = results.study
    if not study.panel_tiles:
        return None
    tiles = study.panel_tiles
    titles = method_titles(study)
    runs = {method: _shown_run(results, method) for method in titles}
    columns = [titles[method] for method, run in runs.items() if run]
    figure = new_figure(CELL_INCHES * (2 + len(columns)), (CELL_INCHES + 0.2) * len(tiles) + 0.5)
    grid = figure.subplots(len(tiles), 2 + len(columns), squeeze=False)
    for axes in grid.flat:
        hide_axes(axes)
    for axes, title in zip(grid[0], ['image', 'label', *columns], strict=True):
        axes.set_title(title, fontsize=9)
    handles = [Patch(color=color, label=name) for name, color in OUTCOMES.items()]
    shown: set[str] = set()
    for cells, tile in zip(grid, tiles, strict=True):
        image = _read_image(folder / study.panel_images, tile)
        label = read_mask(
            folder / study.panel_labels / f'{tile}.png', {0, IGNORED_GRAY, BUILDING_GRAY}, image.shape[:2]
        )
        cells[0].imshow(image)
        cells[0].set_ylabel(tile, fontsize=8)
        shown |= _draw_label(cells[1], image, label, _read_heights(study, folder, tile), study.height_classes)
        for axes, run in zip(cells[2:], filter(None, runs.values()), strict=True):
            _draw_prediction(axes, image, label, Path(folder, run.folder or '', run.predictions or '', f'{tile}.png'))
    colors = study.height_classes.colors.items()
    handles += [Patch(color=color, label=f'label: {name}') for name, color in colors if name in shown]
    add_legend(figure, handles, columns=min(2 + len(columns), 8))
    return figure


def tile_views(results: Results, folder: Path) -> list[MapView]:
    """The same tiles as views of a map, at their full size; methods without a prediction of a tile are left out.

    Args:
        results: Of `read_results`.
        folder: The study's.

    Raises:
        FileNotFoundError: See `draw_panels`, as of the following.
        ValueError: A mask is unfit.
    """
    study, views = results.study, []
    runs = {title: _shown_run(results, method) for method, title in method_titles(study).items()}
    for tile in study.panel_tiles:
        image = _read_image(folder / study.panel_images, tile)
        size = image.shape[:2]
        label = read_mask(folder / study.panel_labels / f'{tile}.png', {0, IGNORED_GRAY, BUILDING_GRAY}, size)
        building, heights_m = label == BUILDING_GRAY, _read_heights(study, folder, tile)
        colors: dict[str, str | None] = {'building': WHITE} if heights_m is None else dict(study.height_classes.colors)
        classes = np.zeros(size, int) if heights_m is None else study.height_classes.index(heights_m)
        pictures = [
            Picture('image', np.dstack([image, np.full(size, 255, np.uint8)])),
            Picture.of_labels('label', classes, building, colors),
        ]
        notes = []
        for title, run in runs.items():
            path = Path(folder, run.folder or '', run.predictions or '', f'{tile}.png') if run else Path()
            if not path.is_file():
                continue
            prediction = read_mask(path, {0, BUILDING_GRAY}, size)
            kinds = np.select(_outcomes(label, prediction), range(len(OUTCOMES)), len(OUTCOMES))
            pictures.append(Picture.of_labels(title, kinds, label != IGNORED_GRAY, OUTCOMES))
            f1 = tile_f1(label, prediction)
            notes.append(f'{title}: {"no building" if f1 is None else f"F1 {fixed(f1)}"}')
        views.append(MapView(tile, (size[1], size[0]), pictures, notes=notes))
    return views


def overlay(image: np.ndarray, label: np.ndarray, prediction: np.ndarray) -> np.ndarray:
    """Colour a grey image by right, false and missed building pixels; ignored pixels stay grey.

    Args:
        image: RGB of shape (H, W, 3), uint8.
        label: 0, 127 (ignored) or 255 of shape (H, W).
        prediction: 0 or 255 of shape (H, W).

    Returns:
        RGB of shape (H, W, 3), uint8.
    """
    return _colored(image, list(zip((RIGHT, FALSE, MISSED), _outcomes(label, prediction), strict=True)))


def _outcomes(label: np.ndarray, prediction: np.ndarray) -> list[np.ndarray]:
    """Pixels that are right, false and missed."""
    counted, truth, found = label != IGNORED_GRAY, label == BUILDING_GRAY, prediction == BUILDING_GRAY
    return [truth & found, ~truth & found & counted, truth & ~found]


def tile_f1(label: np.ndarray, prediction: np.ndarray) -> float | None:
    """Return F1 of one tile's pixels in percent, or None where neither has a building."""
    truth, found = label == BUILDING_GRAY, (prediction == BUILDING_GRAY) & (label != IGNORED_GRAY)
    total = int(truth.sum() + found.sum())
    return None if total == 0 else 200 * float((truth & found).sum()) / total


def read_mask(path: Path, allowed: set[int], shape: tuple[int, int]) -> np.ndarray:
    """Read a mask of one channel.

    Raises:
        FileNotFoundError: If it is missing.
        ValueError: If it has other values than those allowed, or another shape.
    """
    mask = np.asarray(Image.open(path))
    if mask.shape != shape:
        raise ValueError(f'{path} has the shape {mask.shape}; its image has {shape}.')
    if unknown := sorted(set(np.unique(mask).tolist()) - allowed):
        raise ValueError(f'{path} has the values {unknown[:5]}; a mask of this kind holds {sorted(allowed)} only.')
    return mask


def _shown_run(results: Results, method: str) -> RunRecord | None:
    runs = finished_runs(results.runs, MAIN, method)
    return next((run for run in runs.values() if run.predictions), None)


def _draw_prediction(axes: Axes, image: np.ndarray, label: np.ndarray, path: Path) -> None:
    if not path.is_file():
        axes.imshow(_colored(image, []))
        axes.set_xlabel('no prediction', fontsize=8)
        return
    prediction = read_mask(path, {0, BUILDING_GRAY}, label.shape[:2])
    f1 = tile_f1(label, prediction)
    axes.imshow(overlay(image, label, prediction))
    axes.set_xlabel('no building' if f1 is None else f'F1 {fixed(f1)}', fontsize=8, labelpad=2)


def _draw_label(
    axes: Axes, image: np.ndarray, label: np.ndarray, heights_m: np.ndarray | None, classes: HeightClasses
) -> set[str]:
    """Draw a label, and return the height classes that it shows."""
    building = label == BUILDING_GRAY
    if heights_m is None:
        axes.imshow(_colored(image, [(WHITE, building)]))
        return set()
    indices = classes.index(heights_m)
    areas = {name: building & (indices == index) for index, name in enumerate(classes.colors)}
    axes.imshow(_colored(image, [(classes.colors[name], area) for name, area in areas.items()]))
    return {name for name, area in areas.items() if area.any()}


def _colored(image: np.ndarray, areas: Sequence[tuple[str, np.ndarray]]) -> np.ndarray:
    gray = image.mean(axis=-1, keepdims=True) * 0.75 + 32
    picture = np.repeat(gray, 3, axis=-1)
    for color, area in areas:
        picture[area] = 0.35 * picture[area] + 0.65 * np.array(rgb(color))
    return picture.astype(np.uint8)


def _read_image(folder: Path, tile: str) -> np.ndarray:
    path = next(
        (folder / f'{tile}{suffix}' for suffix in ('.png', '.tif') if (folder / f'{tile}{suffix}').is_file()), None
    )
    if path is None:
        raise FileNotFoundError(f'No image {tile}.png or {tile}.tif in {folder}')
    with Image.open(path) as image:
        return np.asarray(image.convert('RGB'))


def _read_heights(study: StudyRecord, folder: Path, tile: str) -> np.ndarray | None:
    if not study.building_heights:
        return None
    with Image.open(folder / study.building_heights / f'{tile}.tif') as heights_m:
        return np.asarray(heights_m)
