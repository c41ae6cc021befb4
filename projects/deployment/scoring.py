"""Scores of exported files and runtimes: data set, pipeline, evaluator and pictures as for PyTorch."""

import copy
import dataclasses
import logging
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch

import projects.openmmlab_compat  # noqa: F401  # isort: skip  (before mmdet)
from mmdet.models.utils import samplelist_boxtype2tensor
from mmdet.structures import DetDataSample
from mmengine.config import Config
from mmengine.logging import print_log
from mmengine.model import BaseModel
from mmengine.registry import MODEL_WRAPPERS, MODELS
from mmengine.structures import InstanceData, PixelData
from mmseg.structures import SegDataSample
from torch import Tensor, nn

from projects.training.instance_masks import PlacedMasks
from projects.training.launch import score, test

from .model_info import ModelInfo
from .prediction.coco_results import paste_masks
from .predictions import (
    Detections,
    Segmentation,
    content_size,
    crop_prediction,
    fit_image,
    rescale_detections,
    resize_segmentation,
    rgb_pixels,
    scale_detections,
)
from .predictor import open_predictor
from .qgis import refuse_masks_in_tiles

EXPORTED = ('.onnx', '.xml')


def scores_of(
    cfg: Config,
    file: str | Path,
    *,
    runtime: str | None = None,
    device: str | None = None,
    precision: str | None = None,
    threads: int | None = None,
    input_size: tuple[int, int] | None = None,
    augment: bool = False,
) -> dict[str, float]:
    """Score a checkpoint or an exported file on the test set of a config.

    A checkpoint for which nothing else is asked is scored by mmengine's own loop; all else by a `DeployedModel`.

    Args:
        cfg: From `load_config` and `set_up`; left as it is.
        file: A checkpoint (`.pth`), or an exported `.onnx` or `.xml` file.
        runtime: Of `open_predictor`, as the following.
        device: 'cpu' or 'cuda'; None: the processor.
        precision: 'fp32', 'bf16' or 'fp16'.
        threads: Threads of the processor.
        input_size: Height and width that images are made to fit, to compare a checkpoint with an export of this size.
        augment: Average over the scales and flips of the config's `tta_pipeline`; for mmengine's own loop alone.

    Returns:
        The scores, named by the evaluator.

    Raises:
        FileNotFoundError: There is no such file, or no data.
        ValueError: The file is of another task or of other classes than the config; or the config asks for what
            exported files do not do: windows (`mode='slide'`) and test-time augmentation.
    """
    cfg, file = copy.deepcopy(cfg), Path(file)
    options: dict[str, Any] = {'runtime': runtime, 'device': device, 'precision': precision, 'threads': threads}
    options['input_size'] = input_size
    chosen = {key: value for key, value in options.items() if value is not None}
    exported = file.suffix in EXPORTED
    if not exported and not chosen:
        return test(cfg, file, augment)
    if not file.is_file():
        raise FileNotFoundError(f'No checkpoint or exported file {file}')
    _check_supported(cfg, augment)
    info = ModelInfo.from_config(cfg)
    with tempfile.TemporaryDirectory() as folder:
        model: dict[str, Any] = {'model': str(file)}
        if not exported:
            merged = Path(folder, Path(cfg.filename).name)  # with the command line's options
            cfg.dump(merged)
            model = {'model': str(merged), 'checkpoint': str(file)}
        cfg.model = {'type': 'DeployedModel', 'task': info.task, 'classes': info.classes, **model, **chosen}
        cfg.model_wrapper_cfg = {'type': 'InEveryProcess'}
        cfg.load_from = None
        return score(cfg)


def _check_supported(cfg: Config, augment: bool) -> None:
    if augment:
        raise ValueError('--tta works with a checkpoint and without --runtime; exported files predict images once')
    if cfg.model.get('test_cfg', {}).get('mode', 'whole') != 'whole':
        raise ValueError(
            f'{cfg.filename}: model.test_cfg.mode = {cfg.model.test_cfg.mode!r}; runtimes predict whole images. '
            'Score the checkpoint without --runtime, or set --cfg-options model.test_cfg.mode=whole'
        )
    if not cfg.model.data_preprocessor.get('bgr_to_rgb', False):
        raise ValueError(
            f'{cfg.filename}: runtimes need model.data_preprocessor.bgr_to_rgb=True, as images load as BGR'
        )


@MODELS.register_module()
class DeployedModel(BaseModel):
    """A model in any runtime that mmengine's test loop takes for one of mmseg's or mmdet's.

    Args:
        model: Of `open_predictor`, as `options`: a config or an exported file.
        task: What the data set is for, of `ModelInfo`.
        classes: Those of the data set.
        input_size: Height and width that images are made to fit; None: those of the model.
        **options: `checkpoint`, `runtime`, `device`, `precision` and `threads`.

    Raises:
        ValueError: The model does another task, or has other classes.
    """

    def __init__(
        self,
        model: str,
        task: str,
        classes: tuple[str, ...],
        input_size: tuple[int, int] | None = None,
        **options: Any,
    ) -> None:
        super().__init__()
        self._has_warned = False
        self.predictor = open_predictor(model, **options)
        if input_size is not None:
            self.predictor.info = dataclasses.replace(self.predictor.info, input_size=(input_size[0], input_size[1]))
        info = self.predictor.info
        refuse_masks_in_tiles(info)
        if info.task != task:
            raise ValueError(f'{model} does {info.task}; the config is for {task}')
        if info.classes != tuple(classes):
            raise ValueError(
                f'{model} knows {_listed(info.classes)}; the data set of the config has {_listed(tuple(classes))}. '
                'Name the config that the file was exported from'
            )

    def test_step(self, data: dict[str, list]) -> list[SegDataSample] | list[DetDataSample]:
        """Predict a batch as the config's pipeline gives it, on the processor; nothing is normalised or padded here.

        Args:
            data: `inputs`, uint8 images (3, H, W), BGR, and their `data_samples`.

        Returns:
            The samples with `pred_sem_seg` and `seg_logits`, or `pred_instances`, in pixels of the image file.
        """
        samplelist_boxtype2tensor(data['data_samples'])  # the labels' boxes, as mmdet's preprocessor does
        return self(data['inputs'], data['data_samples'])

    def forward(self, inputs: list[Tensor], data_samples: list, mode: str = 'predict') -> list:
        """See `test_step`; there is no other mode."""
        return [self._predict(image, sample) for image, sample in zip(inputs, data_samples, strict=True)]

    def _predict(self, image: Tensor, sample: Any) -> Any:
        info = self.predictor.info
        pixels = rgb_pixels(image)
        fitted, content = pixels, pixels.shape[:2]
        if info.input_size not in (None, content):
            fitted, content = fit_image(pixels, info), content_size(info, content)
            size = 'x'.join(map(str, info.input_size or ()))
            self._warn_once(f'images are made to fit {size} px, the size of the graph')
        prediction = crop_prediction(self.predictor.predict_fitted(fitted), content)
        if isinstance(prediction, Segmentation):
            _add_segmentation(sample, resize_segmentation(prediction, sample.ori_shape[:2], info))
        else:
            detections = rescale_detections(prediction, content, pixels.shape[:2])
            _add_detections(sample, detections, info.mask_threshold)
        return sample

    def _warn_once(self, message: str) -> None:
        if not self._has_warned:
            print_log(message, 'current', logging.WARNING)
            self._has_warned = True


@MODEL_WRAPPERS.register_module()
class InEveryProcess(nn.Module):
    """Of a distributed run: the same model in every process, without the weights that torch would keep in step."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def test_step(self, data: dict[str, list]) -> list:
        """That of the model."""
        return self.module.test_step(data)  # type: ignore[operator]


def _add_segmentation(sample: SegDataSample, segmentation: Segmentation) -> None:
    """As mmseg: one logit leaves as a probability, several as logits (here but for one number per pixel)."""
    labels, probabilities = segmentation.labels, segmentation.probabilities
    sample.pred_sem_seg = PixelData(data=torch.from_numpy(labels.astype(np.int64))[None])
    if probabilities is not None:
        values = probabilities if len(probabilities) == 1 else np.log(np.clip(probabilities, 1e-30, None))
        sample.seg_logits = PixelData(data=torch.from_numpy(values))


def _add_detections(sample: DetDataSample, detections: Detections, mask_threshold: float) -> None:
    """As mmdet: boxes divided by the pipeline's own `scale_factor`, and masks in the image file."""
    across, down = sample.scale_factor
    placed = scale_detections(detections, 1 / across, 1 / down)
    instances = InstanceData(
        bboxes=torch.from_numpy(placed.boxes),
        scores=torch.from_numpy(placed.scores),
        labels=torch.from_numpy(placed.labels),
    )
    if (masks := paste_masks(placed, sample.ori_shape[:2], mask_threshold)) is not None:
        instances.masks = PlacedMasks(masks, *sample.ori_shape[:2])
    if placed.offsets is not None:
        instances.offsets, instances.heights_m = torch.from_numpy(placed.offsets), torch.from_numpy(placed.heights_m)
    sample.pred_instances = instances


def _listed(classes: tuple[str, ...]) -> str:
    return f'{len(classes)} classes ({", ".join(classes[:5])}{", …" if len(classes) > 5 else ""})'
