"""From a config and a checkpoint to a file that was seen to say the same."""

import copy
import dataclasses
import shutil
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.config import Config

from projects.storage.folders import working_folder

from ..benchmark.timing import time_in_turns
from ..inference_graphs import load_model
from ..model_info import ModelInfo
from ..model_table.table import CUSTOMARY_SIZES
from ..predictions import fit_size
from ..predictor import Predictor, open_predictor
from ..qgis import QGIS, TILE_PX, for_qgis
from ..quantization.site_report import QuantizationReport, describe_quantization
from ..runtimes.descriptions import FORMATS
from ..scoring import scores_of
from .calibration_images import NamedImage, calibration_images, images_of_files, images_of_test_set
from .detection_matching import Cutoffs
from .exported_file import move_exported, write_description
from .file_verification import batches_of, cutoffs_of, verify_file, verify_sites, verify_twin, write
from .ground_sample_distance import known_gsd_m
from .pytorch_reference import PyTorchReference
from .settings import ExportSettings
from .verification import DeviationError, Verification

NUM_IMAGES = 8  # to verify with, if they come from a data set
NUM_CALIBRATION_IMAGES = {True: 300, False: 32}  # NNCF's own choice; PTQ4ViT's, which saw no gain by more
ROUNDS = 5  # of timing


@dataclass
class Export:
    """A file and what is known of it.

    Attributes:
        path: The file.
        info: What is in its metadata.
        verification: Of the whole file against PyTorch.
        file_bytes: Size on disk.
        latency_ms: Medians of 'pytorch' and 'exported', measured in turns on the first image.
        scores: Of the test set by 'pytorch' and 'exported', where asked for.
        images: What was verified with, and
        predictor: what predicts them.
        reference: OpenMMLab's own inference.
        cutoffs: Of a detector.
        architecture: Of the network, in words.
        num_parameters: Of the network, without heads that only training uses.
        license: Of the weights; '': not stated.
        quantization: What was rounded how, if this project did it.
    """

    path: Path
    info: ModelInfo
    verification: Verification
    file_bytes: int
    latency_ms: dict[str, float]
    scores: dict[str, dict[str, float]]
    images: list[NamedImage]
    predictor: Predictor
    reference: PyTorchReference
    cutoffs: Cutoffs
    architecture: str
    num_parameters: int
    license: str = ''
    quantization: QuantizationReport | None = None


def export(
    cfg: Config,
    checkpoint: str | Path | None,
    out: Path,
    settings: ExportSettings,
    report: Callable[[str], None] = lambda message: None,
) -> Export:
    """Export a model; `out` appears only if it says what the network says in PyTorch.

    Args:
        cfg: From `load_config`; for scores `set_up` too.
        checkpoint: Of the whole model; None: the weights that the config starts from.
        out: `.onnx` or `.xml`, in a folder that is made if need be.
        settings: What to write.
        report: Is told about each step.

    Raises:
        DeviationError: The export says something else; nothing is written.
        FileNotFoundError: There are no images, or there is no checkpoint.
        ValueError: The settings or the network do not allow it; the message says what to do.
    """
    if out.suffix != FORMATS[settings.format]:
        raise ValueError(f'{out}: files of --format {settings.format} end in {FORMATS[settings.format]}')
    if cfg.model.get('test_cfg', {}).get('mode', 'whole') != 'whole':
        raise ValueError(
            f'{cfg.filename} predicts in windows (model.test_cfg.mode={cfg.model.test_cfg.mode!r}), exported files '
            'whole images: set --cfg-options model.test_cfg.mode=whole; tools/predict.py cuts rasters into windows'
        )
    info = dataclasses.replace(
        ModelInfo.from_config(cfg),
        precision=settings.precision,
        weight_bits=settings.weight_bits,
        output=settings.output,
        strides=(),
        max_proposals=settings.max_proposals,
    )
    if not settings.dynamic:
        height, width = settings.size or usual_size(cfg, settings.images)
        if settings.made_for == QGIS and settings.size is None:
            height, width = min(height, TILE_PX), min(width, TILE_PX)
        info = dataclasses.replace(info, input_size=(height, width), batch_size=settings.batch_size or 1)
    info = dataclasses.replace(info, gsd_m=settings.gsd_m or known_gsd_m(cfg, info))
    if settings.made_for == QGIS:
        info = for_qgis(info, info.gsd_m)
    images = _images(cfg, settings.images, info)
    quantization = settings.quantization()
    calibration = (
        calibration_images(settings.calibration, cfg, info, NUM_CALIBRATION_IMAGES[quantization is None])
        if settings.precision == 'int8'
        else []
    )
    model = load_model(_with_proposals(cfg, settings.max_proposals), checkpoint)
    reference = PyTorchReference(copy.deepcopy(model))
    info = dataclasses.replace(info, strides=_strides(model))
    num_parameters = _num_parameters(model)
    if hasattr(model.backbone, 'fuse'):
        model.backbone.fuse()

    with working_folder(out) as folder:
        written = folder / out.name
        report(f'writing {info.precision} {settings.format}')
        search = out.with_name(f'.{out.name}.search')
        quantized = write(model, info, written, images, calibration, quantization, search, report)
        report(f'verifying on {len(images)} images')
        verification = verify_file(reference, written, info, images)
        if not verification.is_telling:
            report('nothing to compare; verifying a twin without threshold')
            verification = verify_twin(model, reference, written, info, images, calibration, quantization, search)
        shutil.rmtree(search, ignore_errors=True)  # it is complete, whatever comes of it
        if quantized is not None:
            report(f'verifying {len(quantized.scheme.sites)} sites one by one')
            verification.sites = verify_sites(quantized, info, images[0], settings.format)
        if not verification.passed:
            raise DeviationError(verification)
        predictor = open_predictor(written)
        batch = next(batches_of(images[:1], info))[1]
        latency_ms = interleaved_latency_ms({'pytorch': reference, 'exported': predictor}, batch)
        scores = {}
        if settings.with_scores:
            if checkpoint is None:
                raise ValueError('--scores needs a checkpoint')
            report('scoring the test set, before and after')
            before = scores_of(cfg, checkpoint, runtime='eager', input_size=info.input_size)
            scores = {'pytorch': _floats(before), 'exported': _floats(scores_of(cfg, written))}
        accuracy = {'verification': verification.to_dict(), 'scores': scores}
        info = dataclasses.replace(info, accuracy=accuracy)
        write_description(written, info)
        described = None
        if quantized is not None:
            described = describe_quantization(quantized, written, [batch for _, batch in batches_of(calibration, info)])
        file_bytes = move_exported(written, out)
    return Export(
        out,
        info,
        verification,
        file_bytes,
        latency_ms,
        scores,
        images,
        predictor,
        reference,
        cutoffs_of(model.test_cfg),
        _architecture(cfg),
        num_parameters,
        settings.license,
        described,
    )


def interleaved_latency_ms(
    predictors: dict[str, Callable[[np.ndarray], Any]], batch: np.ndarray, rounds: int = ROUNDS
) -> dict[str, float]:
    """Median times of predictors that take turns, after one round to warm up."""
    calls = [partial(predictor, batch) for predictor in predictors.values()]
    times = time_in_turns(calls, rounds=rounds, warm_up=1)
    medians = [statistics.median(map(statistics.median, turns)) for turns in times]
    return {name: 1000 * seconds for name, seconds in zip(predictors, medians, strict=True)}


def _with_proposals(cfg: Config, most: int | None) -> Config:
    """A config whose detector looks at so many proposals; the given one is that of the scores before."""
    if most is None:
        return cfg
    cfg = copy.deepcopy(cfg)
    if 'rpn' not in (cfg.model.get('test_cfg') or {}):
        raise ValueError(f'--max-proposals {most}: {cfg.filename} has no proposals; leave it out')
    cfg.model.test_cfg.rpn.max_per_img = most
    return cfg


def _images(cfg: Config, given: Sequence[str], info: ModelInfo, most: int | None = None) -> list[NamedImage]:
    if given:
        return images_of_files(given, info, most)
    return images_of_test_set(cfg, info, most or NUM_IMAGES)


def usual_size(cfg: Config, images: Sequence[str] = ()) -> tuple[int, int]:
    """Height and width of a graph for one size: where images keep their proportions, the customary or the first's.

    Args:
        cfg: Of the network.
        images: Files, folders or globs; empty: the config's test set.

    Raises:
        FileNotFoundError: There are no images.
    """
    info = ModelInfo.from_config(cfg)
    height, width = _images(cfg, images, info, most=1)[0].pixels.shape[:2]
    if info.scale is None or not info.keep_ratio:
        return fit_size(info, (height, width))
    return CUSTOMARY_SIZES.get(info.scale, (height, width))


def _strides(model: Any) -> tuple[int, ...]:
    if hasattr(model, 'decode_head'):
        strides = model.backbone.strides
        head = model.decode_head
        chosen = getattr(head, 'feature_strides', None) or [strides[index] for index in np.atleast_1d(head.in_index)]
        return tuple(int(stride) for stride in chosen)
    head = model.rpn_head if hasattr(model, 'rpn_head') else model.bbox_head
    return tuple(int(stride[0]) for stride in head.prior_generator.strides)


def _architecture(cfg: Config) -> str:
    """Backbone, with the name of its variant, and what stands on it."""
    backbone, head = cfg.model.backbone, cfg.model.get('decode_head')
    variant = backbone.get('arch')
    name = f'{backbone.type} {variant}' if isinstance(variant, str) else str(backbone.type)
    top = cfg.model.type if head is None else f'{head.type} {head.decoder}' if 'decoder' in head else head.type
    return f'{name}, {top}'


def _num_parameters(model: Any) -> int:
    trained = model.named_parameters()
    return sum(parameter.numel() for name, parameter in trained if not name.startswith('auxiliary_head.'))


def _floats(scores: dict[str, Any]) -> dict[str, float]:
    return {name: float(value) for name, value in scores.items()}
