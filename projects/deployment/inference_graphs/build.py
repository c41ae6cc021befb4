"""From a config and a checkpoint to a model, and from a model to a graph."""

import copy
import inspect
from pathlib import Path
from typing import Any

import torch
from mmdet.models import SingleStageDetector, TwoStageDetector
from mmdet.models.roi_heads import StandardRoIHead
from mmengine.config import Config, ConfigDict
from mmengine.model import revert_sync_batchnorm
from mmengine.registry import MODELS, DefaultScope
from mmseg.models import EncoderDecoder

from projects.training.checkpoints import fit_weights, read_weights, refuse, switch_off_pretrained

from ..model_info import ModelInfo
from .dense_detection import DenseDetectionGraph
from .images import ImageGraph
from .mask_rcnn import MaskRCNNGraph
from .segmentation import SegmentationGraph


def load_model(cfg: Config, checkpoint: str | Path | None = None) -> Any:
    """Build a config's model in eval mode and load its weights, all of which must fit.

    Args:
        cfg: A config whose `custom_imports` were imported.
        checkpoint: Of the whole model; None: the initial weights.

    Raises:
        FileNotFoundError: There is no such checkpoint.
        ValueError: It does not fit the model.
    """
    if checkpoint is not None and not Path(checkpoint).is_file():
        raise FileNotFoundError(f'no checkpoint {checkpoint}')
    with DefaultScope.overwrite_default_scope(cfg.default_scope):
        model_cfg = _network_alone(cfg.model)
        if checkpoint is not None:
            switch_off_pretrained(model_cfg)
        model = MODELS.build(model_cfg)
        if checkpoint is None:
            model.init_weights()
    if checkpoint is not None:
        misfits = fit_weights(model, read_weights(checkpoint), str(checkpoint))
        refuse(misfits, f'{checkpoint} does not fit the model of {cfg.filename}:')
    return revert_sync_batchnorm(model).eval()


def _network_alone(model_cfg: ConfigDict) -> ConfigDict:
    """What predicts: segmentors that train with other networks beside them are scored without those."""
    model_cfg = copy.deepcopy(model_cfg)
    kind = MODELS.get(model_cfg.type)
    if kind is EncoderDecoder or not (isinstance(kind, type) and issubclass(kind, EncoderDecoder)):
        return model_cfg
    if model_cfg.get('predict_with', 'first') != 'first':
        raise ValueError(
            f'predict_with={model_cfg.predict_with!r}: the checkpoint holds this network beside the model, and only '
            'the first can be deployed; use --cfg-options model.predict_with=first'
        )
    accepted = inspect.signature(EncoderDecoder.__init__).parameters
    return ConfigDict({key: value for key, value in model_cfg.items() if key in accepted}, type='EncoderDecoder')


def build_graph(model: Any, info: ModelInfo) -> ImageGraph:
    """A graph for inference that shares the model's weights.

    Args:
        model: An EncoderDecoder of mmseg, or a SingleStageDetector or TwoStageDetector of mmdet.
        info: What it is, and which output a segmentor shall give.

    Returns:
        A module in eval mode: images (B, H, W, 3) uint8 to the tensors that its `output_names` name (see `Predictor`).

    Raises:
        ValueError: The model is of another kind.
    """
    images = {'mean': info.mean, 'std': info.std, 'size_divisor': info.size_divisor}
    graph: ImageGraph
    if isinstance(model, EncoderDecoder):
        graph = SegmentationGraph(model, info.output, info.threshold, info.input_size is not None, **images)
    elif isinstance(model, TwoStageDetector) and isinstance(model.roi_head, StandardRoIHead):
        graph = MaskRCNNGraph(model, **images)
    elif isinstance(model, SingleStageDetector):
        graph = DenseDetectionGraph(model, **images)
    else:
        raise ValueError(
            f'{type(model).__name__} cannot be exported; expected an EncoderDecoder of mmseg, a SingleStageDetector of '
            'mmdet, or a TwoStageDetector with a StandardRoIHead'
        )
    return graph.eval().requires_grad_(False).to(torch.float32)
