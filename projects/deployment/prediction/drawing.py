"""Predictions drawn over images."""

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import cv2
import matplotlib as mpl
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from projects.reporting.palette import readable_on

from ..predictions import Detections
from .coco_results import InstanceMask

Color = tuple[int, int, int]

MIN_SIDE_PX = 640  # a smaller picture is enlarged by a whole factor, to have room for text
MIN_FONT_PX, MANY = 11, 25  # with more instances names are smaller
TINT, MASK_TINT = 0.5, 0.4  # share of the class's colour
PANEL, PANEL_TEXT, PANEL_FAINT = (28, 30, 34), (236, 236, 238), (150, 152, 158)
NOT_TINTED = ('background', '_background_', 'void', 'unlabeled')


def draw_segmentation(
    image: np.ndarray, labels: np.ndarray, classes: Sequence[str], palette: Sequence[Color]
) -> np.ndarray:
    """Tint pixels with the colours of their classes, outline regions, and append a legend of the shares on the right.

    A class called background is not tinted.

    Args:
        image: (H, W, 3) uint8 RGB.
        labels: (H, W) indices of classes; others are left as they are.
        classes: Names.
        palette: Colours, RGB.

    Returns:
        (k H, k W + legend, 3) uint8 RGB; its size follows from that of the image and the classes alone.
    """
    factor = enlargement(image.shape[:2])
    counts = np.bincount(labels.ravel(), minlength=len(classes))
    picture, labels = _enlarge(image, factor), labels.repeat(factor, axis=0).repeat(factor, axis=1)
    shown = np.array([name.lower() not in NOT_TINTED for name in classes])
    colors = np.zeros((max(len(classes), int(labels.max(initial=0)) + 1), 3), dtype=np.uint8)
    colors[: len(classes)] = palette
    tinted = np.zeros(len(colors), dtype=bool)
    tinted[: len(classes)] = shown
    flat = colors[labels]
    mixed = cv2.addWeighted(picture, 1 - TINT, flat, TINT, 0)
    borders = np.zeros(labels.shape, dtype=bool)
    borders[:, 1:] |= labels[:, 1:] != labels[:, :-1]
    borders[1:] |= labels[1:] != labels[:-1]
    thick = max(1, round(min(labels.shape) / 700))
    borders = cv2.dilate(borders.astype(np.uint8), np.ones((thick, thick), np.uint8)).astype(bool)
    mixed[borders] = flat[borders]
    picture = np.where(tinted[labels][..., None], mixed, picture)
    return np.concatenate([picture, _legend(counts, classes, palette, picture.shape[0])], axis=1)


def draw_detections(
    image: np.ndarray,
    detections: Detections,
    masks: Sequence[InstanceMask] | None,
    classes: Sequence[str],
    palette: Sequence[Color],
) -> np.ndarray:
    """Draw masks, boxes, and names with scores; the best score on top.

    A name is left out where it would cover that of a better one. A model of one class has scores alone. A building that
    is displaced has a white outline where it stands.

    Args:
        image: (H, W, 3) uint8 RGB.
        detections: In the image's pixels.
        masks: Of the detections, from `paste_masks`.
        classes: Names.
        palette: Colours, RGB.

    Returns:
        (k H, k W, 3) uint8 RGB.
    """
    factor = enlargement(image.shape[:2])
    picture = _enlarge(image, factor)
    thick = max(1, round(min(picture.shape[:2]) / 550))
    order = np.argsort(detections.scores, kind='stable')
    for index in order:
        color = tuple(palette[detections.labels[index]])
        if masks is not None:
            _draw_mask(picture, masks[index], factor, color, thick)
            if detections.offsets is not None:
                _draw_footprint(picture, masks[index], detections.offsets[index], factor, thick)
        left, top, right, bottom = np.rint(detections.boxes[index] * factor).astype(int).tolist()
        width = thick if masks is None else max(1, thick // 2)
        cv2.rectangle(picture, (left, top), (right - 1, bottom - 1), color, width)
    return _draw_names(picture, detections, order[::-1], factor, classes, palette)


def enlargement(size: tuple[int, int]) -> int:
    """How many times larger than an image of a height and width its picture is drawn."""
    return -(-MIN_SIDE_PX // max(size)) if max(size) < MIN_SIDE_PX else 1


def _enlarge(image: np.ndarray, factor: int) -> np.ndarray:
    if factor == 1:
        return image.copy()
    return cv2.resize(image, None, fx=factor, fy=factor, interpolation=cv2.INTER_CUBIC)


def _draw_mask(picture: np.ndarray, instance: InstanceMask, factor: int, color: Color, thick: int) -> None:
    mask = instance.mask.repeat(factor, axis=0).repeat(factor, axis=1)
    if not mask.any():
        return
    top, left = instance.rows.start * factor, instance.columns.start * factor
    window = picture[top : top + mask.shape[0], left : left + mask.shape[1]]
    tint = np.array(color, dtype=np.float32) * MASK_TINT
    window[mask] = (window[mask] * (1 - MASK_TINT) + tint + 0.5).astype(np.uint8)
    contours, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE, offset=(left, top))
    cv2.drawContours(picture, contours, -1, color, thick, cv2.LINE_AA)


def _draw_footprint(picture: np.ndarray, roof: InstanceMask, offset: np.ndarray, factor: int, thick: int) -> None:
    """The outlines of a roof, moved back by its offset."""
    if not roof.mask.any():
        return
    corner = np.array([roof.columns.start, roof.rows.start]) - offset
    left, top = np.rint(corner * factor).astype(int).tolist()
    mask = roof.mask.repeat(factor, axis=0).repeat(factor, axis=1).astype(np.uint8)
    contours, _ = cv2.findContours(mask, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE, offset=(left, top))
    cv2.drawContours(picture, contours, -1, (255, 255, 255), thick, cv2.LINE_AA)


def _draw_names(
    picture: np.ndarray,
    detections: Detections,
    order: np.ndarray,
    factor: int,
    classes: Sequence[str],
    palette: Sequence[Color],
) -> np.ndarray:
    height, width = picture.shape[:2]
    size = font_size(picture.shape[:2])
    if len(order) > MANY:
        size = max(MIN_FONT_PX, round(0.75 * size))
    font, pad = _font(size), max(2, size // 4)
    canvas = Image.fromarray(picture)
    draw = ImageDraw.Draw(canvas)
    taken = np.zeros((0, 4))
    for index in order:
        label = int(detections.labels[index])
        score = f'{detections.scores[index]:.0%}'
        text = score if len(classes) == 1 else f'{classes[label]} {score}'
        box = detections.boxes[index] * factor
        wide, high = round(font.getlength(text)) + 2 * pad, size + 2 * pad
        left = int(np.clip(np.rint(box[0]), 0, max(width - wide, 0)))
        for top in (round(box[1]) - high, round(box[1]), round(box[3])):  # above, inside, below
            place = np.array([left, top, left + wide, top + high])
            fits = top >= 0 and top + high <= height
            if fits and not ((place[:2] < taken[:, 2:]) & (taken[:, :2] < place[2:])).all(axis=1).any():
                taken = np.vstack([taken, place])
                color = palette[label]
                draw.rounded_rectangle((left, top, left + wide - 1, top + high - 1), pad, fill=color)
                draw.text((left + pad, top + high / 2), text, fill=readable_on(color), font=font, anchor='lm')
                break
    return np.asarray(canvas)


def _legend(counts: np.ndarray, classes: Sequence[str], palette: Sequence[Color], height: int) -> np.ndarray:
    """Classes by falling share of the pixels, as many as there is room for."""
    size = max(MIN_FONT_PX, min(22, height // 32))
    font, bold, line = _font(size), _font(size, bold=True), round(size * 1.75)
    name_width = round(max(font.getlength(name) for name in classes))
    share_width = round(bold.getlength('100.0%'))
    width = size + size + size // 2 + name_width + size + share_width + size
    panel = Image.new('RGB', (width, height), PANEL)
    draw = ImageDraw.Draw(panel)
    counts = counts[: len(classes)]
    order = [index for index in np.argsort(-counts, kind='stable') if counts[index]]
    room = max((height - size) // line, 1)
    if len(order) > room:
        draw.text((size, height - line / 2), f'+ {len(order) - room + 1} more', PANEL_FAINT, font, anchor='lm')
        order = order[: room - 1]
    for row, index in enumerate(order):
        middle = size / 2 + (row + 0.5) * line
        swatch = (size, middle - size / 2, 2 * size, middle + size / 2)
        draw.rounded_rectangle(swatch, size // 5, fill=tuple(palette[index]), outline=PANEL_FAINT)
        draw.text((2.5 * size, middle), classes[index], PANEL_TEXT, font, anchor='lm')
        share = f'{counts[index] / max(counts.sum(), 1):.1%}'
        draw.text((width - size, middle), share, PANEL_TEXT, bold, anchor='rm')
    return np.asarray(panel)


def font_size(size: tuple[int, int]) -> int:
    """Height of text in pixels that is legible in a picture of a height and width."""
    return max(MIN_FONT_PX, min(28, round(min(size) / 50)))


@lru_cache
def _font(size: int, bold: bool = False) -> ImageFont.FreeTypeFont:
    name = 'DejaVuSans-Bold.ttf' if bold else 'DejaVuSans.ttf'
    return ImageFont.truetype(str(Path(mpl.get_data_path()) / 'fonts' / 'ttf' / name), size)
