"""A classifier that tells the pictures of two sets apart, and what it looks at.

Logistic regression with a ridge penalty on standardised features of patches. How well it tells pictures apart that it
has not seen, whole pictures left out, is the gap: an area under the ROC curve of 0.5 is none, 1 a clean divide. Its
weights say what it looks at; of features that go together they share the weight, so each feature's own area stands
beside.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image
from scipy import optimize, special, stats

from projects.reporting.number_format import fixed
from projects.reporting.tables import Table
from projects.storage.image_errors import PILLOW_ERRORS

from .features import describe

SUFFIXES = ('.png', '.tif', '.tiff', '.jpg', '.jpeg', '.webp')
RIDGE = 1.0
FOLDS = 5


@dataclass(frozen=True)
class Gap:
    """How two sets differ.

    Attributes:
        auc: Area under the ROC curve on pictures left out.
        features: Names.
        weights: (F,) Of the regression on all pictures; positive: the second set has more of it, in deviations.
        own_auc: (F,) Area under the ROC curve of each feature alone.
        means: (2, F) Of both sets.
        pictures: How many of each set.
    """

    auc: float
    features: Sequence[str]
    weights: np.ndarray
    own_auc: np.ndarray
    means: np.ndarray
    pictures: tuple[int, int]

    def table(self, titles: tuple[str, str], number: int = 12) -> Table:
        """The features with the largest weights.

        Args:
            titles: Of the two sets.
            number: How many features.
        """
        order = np.argsort(-np.abs(self.weights))[:number]
        rows = [
            [
                self.features[i],
                *(fixed(float(mean), 2) for mean in self.means[:, i]),
                fixed(float(self.weights[i]), 2, signed=True),
                fixed(float(self.own_auc[i]), 2),
            ]
            for i in order
        ]
        caption = f'{titles[0]} ({self.pictures[0]}) and {titles[1]} ({self.pictures[1]}): told apart with an AUC of '
        columns = ['feature', *titles, 'weight', 'AUC alone']
        return Table(f'{caption}{self.auc:.3f}', columns, rows, numeric=columns[1:])


def measure_gap(first: str | Path, second: str | Path, patch_px: int = 256, max_pictures: int = 200) -> Gap:
    """Tell the pictures of two folders apart.

    Args:
        first: Folder of pictures, such as rendered tiles; with their folders below.
        second: Another one, such as real tiles, of the same metres per pixel.
        patch_px: Pictures are cut into patches of that side, so that sizes do not tell them apart; what is left over
            at the right and the bottom is not looked at.
        max_pictures: Of each folder, evenly spread.

    Raises:
        FileNotFoundError: A folder holds no picture.
        ValueError: A picture cannot be read or is smaller than a patch, or there are fewer than `FOLDS` in a folder.
    """
    sets = [_describe_folder(Path(folder), patch_px, max_pictures) for folder in (first, second)]
    names = list(sets[0][0][0])
    values = np.array([[row[name] for name in names] for rows in sets for picture in rows for row in picture])
    labels = np.repeat([0.0, 1.0], [sum(map(len, rows)) for rows in sets])
    folds = np.concatenate([np.repeat(np.arange(len(rows)) % FOLDS, [len(p) for p in rows]) for rows in sets])
    scaled = (values - values.mean(axis=0)) / np.maximum(values.std(axis=0), 1e-9)
    left_out = np.zeros(len(labels))
    for fold in range(FOLDS):
        inside = folds != fold
        left_out[~inside] = _predict(_fit(scaled[inside], labels[inside]), scaled[~inside])
    return Gap(
        area_under_curve(left_out, labels),
        names,
        _fit(scaled, labels)[:-1],
        np.array([area_under_curve(column, labels) for column in values.T]),
        np.stack([values[labels == label].mean(axis=0) for label in (0, 1)]),
        (len(sets[0]), len(sets[1])),
    )


def area_under_curve(scores: np.ndarray, labels: np.ndarray) -> float:
    """Area under the ROC curve by the ranks of Mann and Whitney; ties count half.

    Args:
        scores: (N,) The higher, the rather 1.
        labels: (N,) 0 or 1.

    Example:
        >>> area_under_curve(np.array([0.1, 0.4, 0.35, 0.8]), np.array([0, 0, 1, 1]))
        0.75
    """
    ones = int(labels.sum())
    ranks = stats.rankdata(scores)[labels == 1].sum()
    return float((ranks - ones * (ones + 1) / 2) / (ones * (len(labels) - ones)))


def _describe_folder(folder: Path, patch_px: int, max_pictures: int) -> list[list[dict[str, float]]]:
    files = sorted(path for path in folder.rglob('*') if path.suffix.lower() in SUFFIXES)
    if not files:
        raise FileNotFoundError(f'{folder} holds no pictures that end in {", ".join(SUFFIXES)}')
    if len(files) < FOLDS:
        raise ValueError(f'{folder} holds {len(files)} pictures; expected {FOLDS} or more, to leave some out')
    chosen = np.unique(np.linspace(0, len(files) - 1, min(max_pictures, len(files))).astype(int))
    return [_describe_picture(files[i], patch_px) for i in chosen]


def _describe_picture(path: Path, patch_px: int) -> list[dict[str, float]]:
    try:
        with Image.open(path) as picture:
            image = np.asarray(picture.convert('RGB'))
    except PILLOW_ERRORS as error:
        raise ValueError(f'{path}: {error}') from error
    rows, columns = (side // patch_px for side in image.shape[:2])
    if not rows * columns:
        raise ValueError(
            f'{path} is of {image.shape[1]} x {image.shape[0]} px, smaller than a patch of {patch_px} px; '
            'use a smaller --patch-px'
        )
    return [
        describe(image[y * patch_px : (y + 1) * patch_px, x * patch_px : (x + 1) * patch_px])
        for y in range(rows)
        for x in range(columns)
    ]


def _fit(values: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """(F + 1,) Weights and intercept; both sets weigh the same."""
    inputs = np.column_stack([values, np.ones(len(values))])
    weigh = np.where(labels == 1, 0.5 / labels.mean(), 0.5 / (1 - labels.mean()))
    signs = 2 * labels - 1

    def loss(weights: np.ndarray) -> tuple[float, np.ndarray]:
        margins = signs * (inputs @ weights)
        gradient = -(weigh * signs * special.expit(-margins)) @ inputs
        gradient[:-1] += RIDGE * weights[:-1]
        return float(weigh @ np.logaddexp(0, -margins) + RIDGE / 2 * (weights[:-1] ** 2).sum()), gradient

    return optimize.minimize(loss, np.zeros(inputs.shape[1]), jac=True, method='L-BFGS-B').x


def _predict(weights: np.ndarray, values: np.ndarray) -> np.ndarray:
    return values @ weights[:-1] + weights[-1]
