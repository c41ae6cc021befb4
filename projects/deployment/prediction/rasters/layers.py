"""What is written of a segmentor's blended probabilities, and with which numbers."""

import numpy as np

from projects.command_line import UsageError
from projects.geodata.raster_strips import RasterLayer

from ...model_info import ModelInfo
from ...predictions import labels_of

DTYPES = ('uint8', 'float32')
ONE_LOGIT, SEVERAL, LABELS_ALONE = ('probability', 'labels'), ('labels', 'confidence', 'probabilities'), ('labels',)


def layers_of(info: ModelInfo, names: tuple[str, ...], classes: tuple[str, ...], dtype: str) -> dict[str, RasterLayer]:
    """Layers of a segmentor's result.

    Of a model with one logit these are the probability of class 1 and labels by the model's threshold; of others the
    labels, the highest probability (confidence), and the probabilities of classes, one band each. Probabilities are
    written as whole numbers whose 255 means 1, to the nearest, or as float32.

    Args:
        info: The model.
        names: Which of them; (): the probability; or labels and confidence; or labels, where a graph gives no more.
        classes: Bands of 'probabilities'; (): all.
        dtype: Of probabilities, one of `DTYPES`.

    Raises:
        UsageError: The model has no such layer or class, or the type is another.
    """
    accepted = LABELS_ALONE if info.output == 'labels' else SEVERAL if info.threshold is None else ONE_LOGIT
    names = names or (ONE_LOGIT[:1] if accepted == ONE_LOGIT else accepted[:2])
    if unknown := [name for name in names if name not in accepted]:
        reason = '; export the model with --output probabilities for more' if accepted == LABELS_ALONE else ''
        raise UsageError(f'layers {unknown}: {info.config or "this model"} gives {", ".join(accepted)}{reason}')
    if unknown := [name for name in classes if name not in info.classes]:
        raise UsageError(f'classes {unknown}: the model knows {", ".join(info.classes)}')
    if classes and 'probabilities' not in names:
        raise UsageError(
            f"classes {list(classes)} choose bands of the layer 'probabilities', which is not among {names}"
        )
    if dtype not in DTYPES:
        raise UsageError(f'probability_dtype {dtype!r}: expected one of {", ".join(DTYPES)}')
    few = len(info.classes) <= 256
    layers = {
        'labels': RasterLayer('uint8' if few else 'uint16', ('class',), 'mode', info.palette if few else ()),
        'probabilities': RasterLayer(dtype, classes or info.classes),
    }
    return {name: layers.get(name, RasterLayer(dtype, (name,))) for name in names}


def layer_values(values: np.ndarray, layers: dict[str, RasterLayer], info: ModelInfo) -> dict[str, np.ndarray]:
    """Bands of each layer.

    Args:
        values: (C, h, w) float32 probabilities, or one channel of labels from a graph that gives labels alone.
        layers: As `layers_of` gives them.
        info: The model.

    Returns:
        (B, h, w) of the layer's type.
    """
    found: dict[str, np.ndarray] = {}
    if 'labels' in layers:
        labels = values[0] if info.output == 'labels' else labels_of(values, info)
        found['labels'] = labels[None].astype(layers['labels'].dtype, copy=False)
    if 'probability' in layers:
        found['probability'] = _stored(values, layers['probability'].dtype)
    if 'confidence' in layers:
        found['confidence'] = _stored(values.max(axis=0, keepdims=True), layers['confidence'].dtype)
    if 'probabilities' in layers:
        chosen = [info.classes.index(name) for name in layers['probabilities'].bands]
        found['probabilities'] = _stored(values[chosen], layers['probabilities'].dtype)
    return found


def _stored(probabilities: np.ndarray, dtype: str) -> np.ndarray:
    if dtype == 'float32':
        return probabilities
    scaled = probabilities * np.float32(255)
    scaled += np.float32(0.5)
    return scaled.astype(np.uint8)
