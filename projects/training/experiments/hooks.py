"""What runs keep for the report of their study."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import torch
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import Runner

CURVE = 'f1_by_iteration'


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
                mask = sample.pred_sem_seg.data[0].to(torch.uint8).cpu().numpy() * 255
                cv2.imwrite(str(self.folder / f'{name}.png'), mask)


@HOOKS.register_module()
class RecordCurve(Hook):
    """Keeps F1 of every validation and its iteration in the MessageHub, and so in the checkpoints."""

    def after_val_epoch(self, runner: Runner, metrics: dict[str, float] | None = None) -> None:
        earlier = runner.message_hub.runtime_info.get(CURVE, {})
        runner.message_hub.update_info(CURVE, earlier | {runner.iter: float((metrics or {})['building/f1'])})
