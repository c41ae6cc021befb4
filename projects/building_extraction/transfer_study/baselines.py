"""What needs no learning, scored as the methods are: all building, none, and a threshold on brightness."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.config import Config
from mmengine.registry import DATASETS, METRICS, init_default_scope
from mmengine.structures import PixelData
from torch.nn import functional

from projects.storage.atomic_files import write_file
from projects.training.config import load_config
from projects.training.experiments.runs import RESULT
from projects.training.label_survey import IGNORED

from ..evaluation.height_class_scores import HeightClassScores
from ..mask_codes import BUILDING
from .plan import SCORES, clean_tiles, run_name
from .records import MAIN, Method
from .study_file import Study

EVERYTHING, NOTHING, BRIGHTNESS = 'everything', 'nothing', 'brightness'
BASELINES = (
    Method(EVERYTHING, 'All building', 'every pixel is called a building'),
    Method(NOTHING, 'None', 'no pixel is called a building'),
    Method(BRIGHTNESS, 'Brightness', "brighter, or darker, than a threshold, chosen on the target's training tiles"),
)
LEVELS = 256


def score_baselines(study: Study, root: Path, runs_folder: Path, replicate: int) -> None:
    """Write a result for each baseline, as a run leaves it; those that are there are kept.

    Args:
        study: Whose first method's config says how tiles are read and scored.
        root: The tiles of the replicate.
        runs_folder: Receives `NAME/result.json`.
        replicate: Its number.
    """
    names = {method.name: runs_folder / run_name(MAIN, method.name, replicate) for method in BASELINES}
    if all((folder / RESULT).is_file() for folder in names.values()):
        return
    method = next(iter(study.methods.values()))
    cfg = load_config(method['config'], {**study.options, **method.get('options', {}), 'data_root': str(root)})
    init_default_scope(cfg.default_scope)
    low, high = brightness_range(cfg, clean_tiles(study, root, replicate))
    dataset = DATASETS.build(cfg.test_dataloader.dataset)
    evaluators = cfg.test_evaluator if isinstance(cfg.test_evaluator, list) else [cfg.test_evaluator]
    evaluator = next(each for each in evaluators if METRICS.get(each.type) is HeightClassScores)
    metrics = {}
    for name, folder in names.items():
        metrics[name] = METRICS.build({**evaluator, 'out_file': str(folder / 'test_scores.json')})
        metrics[name].dataset_meta = dataset.metainfo
    for index in range(len(dataset)):
        item = dataset[index]
        gray = brightness(item)
        found = {EVERYTHING: gray >= 0, NOTHING: gray < 0, BRIGHTNESS: (gray >= low) & (gray <= high)}
        for name, mask in found.items():
            sample = item['data_samples']
            sample.pred_sem_seg = PixelData(data=torch.from_numpy(mask[None].astype(np.int64)))
            metrics[name].process(None, [sample.to_dict()])
    for name, folder in names.items():
        metrics[name].evaluate(len(dataset))
        scored = json.loads((folder / 'test_scores.json').read_text())
        about = {'name': folder.name, 'method': name, 'setting': MAIN, 'replicate': replicate}
        result = {'run': about, **{key: scored[key] for key in SCORES}}
        if name == BRIGHTNESS:
            result['brightness_range'] = [low, high]
        write_file(folder / RESULT, json.dumps(result, indent=1))


def brightness(item: Mapping[str, Any]) -> np.ndarray:
    """(H, W) mean of the channels of an image, rounded down: 0 to 255, at the size of its label.

    Args:
        item: Of the data set: `inputs` (3, h, w), which the pipeline may have resized, and `data_samples`.
    """
    gray = item['inputs'].float().mean(dim=0)[None, None]
    size = item['data_samples'].gt_sem_seg.data.shape[-2:]
    if gray.shape[-2:] != size:
        gray = functional.interpolate(gray, size, mode='bilinear', align_corners=False)
    return gray[0, 0].floor().long().numpy()


def brightness_range(cfg: Config, chosen: Sequence[int]) -> tuple[int, int]:
    """The range of brightness, open to one side, that is the best F1 of the target's training tiles.

    Args:
        cfg: With the test's data set, which the target's tiles are read like.
        chosen: Numbers of the tiles.

    Returns:
        Lowest and highest brightness of what is called a building.
    """
    prefix = {'img_path': 'target/images', 'seg_map_path': 'target/masks'}
    dataset = DATASETS.build({**cfg.test_dataloader.dataset, 'data_prefix': prefix, 'indices': list(chosen)})
    building, background = np.zeros(LEVELS), np.zeros(LEVELS)
    for index in range(len(dataset)):
        item = dataset[index]
        gray, label = brightness(item), item['data_samples'].gt_sem_seg.data[0].numpy()
        building += np.bincount(gray[label == BUILDING], minlength=LEVELS)
        background += np.bincount(gray[(label != BUILDING) & (label != IGNORED)], minlength=LEVELS)
    tp_dark, fp_dark = building.cumsum(), background.cumsum()
    tp_bright, fp_bright = tp_dark[-1] - tp_dark + building, fp_dark[-1] - fp_dark + background
    total = max(building.sum(), 1)
    dark, bright = (2 * tp / (tp + fp + total) for tp, fp in ((tp_dark, fp_dark), (tp_bright, fp_bright)))
    if dark.max() > bright.max():
        return 0, int(dark.argmax())
    return int(bright.argmax()), LEVELS - 1
