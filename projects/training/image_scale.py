"""All image sizes of a config, changed by one factor."""

from collections.abc import Iterator
from typing import Any

from mmengine.config import Config, ConfigDict

SPLITS = ('train', 'val', 'test')
SIZES = ('scale', 'crop_size', 'size', 'stride')  # options of transforms, preprocessors and test settings, in pixels


def scale_images(cfg: Config, factor: float) -> None:
    """Multiply all image sizes of a config: of its pipelines, of what pads its batches, and of its windows.

    Args:
        cfg: Changed in place.
        factor: Of height and width; sizes are rounded, to 1 pixel at least.
    """
    pipelines = [cfg[f'{split}_dataloader'].dataset.pipeline for split in SPLITS]
    parts = [*pipelines, cfg.get('tta_pipeline', []), cfg.model.data_preprocessor, cfg.model.get('test_cfg', {})]
    nodes = {id(node): node for node in nodes_of(parts)}  # a node may belong to several pipelines
    for node in nodes.values():
        for key in SIZES:
            if _is_size(node.get(key)):
                node[key] = _scaled(node[key], factor)


def nodes_of(node: Any) -> Iterator[ConfigDict]:
    """All dicts of a nested config."""
    if isinstance(node, dict):
        yield node
        for value in node.values():
            yield from nodes_of(value)
    elif isinstance(node, list | tuple):
        for value in node:
            yield from nodes_of(value)


def _is_size(value: Any) -> bool:
    lengths = value if isinstance(value, list | tuple) else [value]
    return bool(lengths) and all(isinstance(length, int) and not isinstance(length, bool) for length in lengths)


def _scaled(value: Any, factor: float) -> Any:
    if isinstance(value, list | tuple):
        return tuple(_scaled(length, factor) for length in value)
    return max(round(value * factor), 1)
