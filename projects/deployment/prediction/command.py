"""From what is typed to predictions: which model, which inputs, and whether they go together."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from projects.command_line import UsageError
from projects.reporting.notices import only_warnings
from projects.storage.locations import locate
from projects.storage.parameters import digest

from ..model_info import ModelInfo
from ..predictor import Predictor, open_predictor
from ..qgis import refuse_masks_in_tiles
from .image_files import RASTER, find_inputs
from .part_run import PartReport, predict_part
from .parts import Part
from .prediction_files import COCO, LABEL_STUDIO, PredictionSettings, writable
from .processes import leave_processes
from .run import RunReport, predict_inputs

if TYPE_CHECKING:  # it needs the extra 'geo'
    from projects.geodata.remote_rasters import SourceChoice

ADDRESSES, ITEMS = ('http://', 'https://'), ('.json', '.geojson')
INPUTS = 'inputs'  # folder of the results with what says which pixels of others were read


@dataclass(frozen=True)
class ModelChoice:
    """A model, and how it is run.

    Attributes:
        model: Config (`.py`), or exported file, or one on the hub, `hf://USER/NAME`.
        checkpoint: Weights, of a config.
        runtime: See `open_predictor`, as the following.
        device: 'cpu' or 'cuda'.
        precision: To compute in.
        threads: Of the processor.
        cfg_options: What overrides the config, by dotted keys.
    """

    model: str
    checkpoint: str | None = None
    runtime: str | None = None
    device: str = 'cpu'
    precision: str | None = None
    threads: int | None = None
    cfg_options: dict[str, Any] | None = None

    @cached_property
    def file(self) -> Path:
        """The config or exported file; what is on the hub is fetched, once."""
        if not self.model.startswith('hf://'):
            return locate(self.model)
        from ..hub import from_pretrained

        return from_pretrained(self.model)

    def open(self) -> Predictor:
        """The predictor.

        Raises:
            FileNotFoundError: There is no such file.
            UsageError: The options do not go together.
        """
        model = self.file
        options: dict[str, Any] = {key: getattr(self, key) for key in ('runtime', 'device', 'precision', 'threads')}
        if self.device == 'cuda' and 'LOCAL_RANK' in os.environ:
            import torch

            torch.cuda.set_device(int(os.environ['LOCAL_RANK']))
        if model.suffix != '.py':
            if self.cfg_options:
                raise UsageError(f'--cfg-options are for configs; {model.name} is as it was exported')
            return open_predictor(model, self.checkpoint, **options)
        if self.checkpoint is None:
            raise UsageError(f'{model.name} is a config, whose weights are random; name its --checkpoint')
        from projects.training.config import load_config  # only now: exported files are run without

        with only_warnings():  # mmengine tells of each weight how it was initialised
            return open_predictor(load_config(model, self.cfg_options), self.checkpoint, **options)

    def weights(self) -> str:
        """A short name for the content of the files that the model is in."""
        model = self.file
        files = [model, model.with_suffix('.bin'), *([Path(self.checkpoint)] if self.checkpoint else [])]
        return digest(file.read_bytes() for file in files if file.is_file())


def predict(
    choice: ModelChoice,
    inputs: Sequence[str],
    out: Path,
    settings: PredictionSettings,
    *,
    resume: bool = False,
    part: Part | None = None,
    join: bool = False,
    source: SourceChoice | None = None,
) -> RunReport | PartReport | None:
    """Predict inputs of any kind into a folder.

    Args:
        choice: The model.
        inputs: Files, folders and globs.
        out: Folder of the results.
        settings: What to write; nothing named: all that the model gives.
        resume: Go on where another run was stopped.
        part: Predict that of several that wait for none; None: all of it, alone or with others of `torchrun`.
        join: Join what parts have predicted.
        source: What is read of addresses, STAC items, and of rasters in part.

    Returns:
        What came of it, in the first process or of the part; None in the others.

    Raises:
        FileExistsError: The folder has results, and they are not to be continued.
        FileNotFoundError: There is no such model or input.
        UsageError: The options do not go together, or do not fit the model.
        ValueError: Nothing can be predicted, or the results come from another model or other settings.
    """
    if (part or join) and int(os.environ.get('WORLD_SIZE', 1)) > 1:
        raise UsageError('--part and --join are for processes that wait for none; start each without torchrun')
    files = find_inputs(_local(inputs, out, source), out)
    has_rasters = any(file.kind == RASTER for file in files)
    if has_rasters:
        from .rasters.layers import layers_of  # needs the extra 'geo'
    predictor = choice.open()
    info = predictor.info
    refuse_masks_in_tiles(info)
    possible = writable(info)
    accepted = (*possible, LABEL_STUDIO) if COCO in possible else possible
    if unfit := set(settings.write) - set(accepted):
        raise UsageError(f'--write {" ".join(sorted(unfit))}: {info.task} gives {" ".join(accepted)}')
    if has_rasters:
        rasters = settings.rasters
        rasters.overlap_for(info)
        if info.is_segmentor:
            layers_of(info, rasters.layers, rasters.classes, rasters.probability_dtype)
    settings = replace(settings, write=settings.write or possible)
    identity = identity_of(choice, info, settings)
    if part is not None:
        return predict_part(predictor, files, out, settings, part, identity=identity)
    report = predict_inputs(predictor, files, out, settings, identity=identity, resume=resume, join=join)
    leave_processes()
    return report


def predict_probability(model: str, image: Path, bands: tuple[int, ...] | None, folder: Path) -> Path:
    """Predict the probability of buildings in an image, or go on with it.

    Args:
        model: See `ModelChoice`; a segmentor of buildings.
        image: Raster.
        bands: Of it.
        folder: Of the result, made if need be.

    Returns:
        The raster of the probabilities.
    """
    from .rasters.prediction import predict_raster  # needs the extra 'geo'
    from .rasters.settings import RasterSettings

    choice, settings = ModelChoice(model), RasterSettings(bands=bands, layers=('probability',))
    predictor = choice.open()
    folder.mkdir(exist_ok=True)
    result = predict_raster(predictor, image, folder, settings, resume=True, model_id=choice.weights())
    assert result is not None  # of rank 0 alone it is, and there is one process
    return result.files['probability']


def _local(inputs: Sequence[str], out: Path, source: SourceChoice | None) -> list[str]:
    """Files, folders and globs in place of addresses, STAC items, and of rasters that are read in part."""
    if source is None and not any(given.startswith(ADDRESSES) or given.lower().endswith(ITEMS) for given in inputs):
        return list(inputs)
    from projects.geodata.raster_sources import allow_host
    from projects.geodata.remote_rasters import SourceChoice, is_elsewhere, to_local  # needs the extra 'geo'

    choice = source or SourceChoice()
    for host in choice.hosts:
        allow_host(host)
    if choice.asset is not None and not any(map(is_elsewhere, inputs)):
        raise UsageError(f'--asset {choice.asset}: none of the inputs is a STAC item')
    whole, made = choice.bbox_deg is None, list[str]()
    for one in dict.fromkeys(inputs):
        is_made = is_elsewhere(one) or not whole
        made.append(str(to_local(one, out / INPUTS, choice, {*map(Path, made)})) if is_made else one)
    return made


def identity_of(choice: ModelChoice, info: ModelInfo, settings: PredictionSettings) -> dict[str, Any]:
    """What results depend on, for who resumes: the weights, and the options of model and rasters."""
    rasters = settings.rasters
    return {
        'model': info.config,
        'weights': choice.weights(),
        'runtime': choice.runtime,
        'precision': choice.precision,
        'cfg_options': choice.cfg_options,
        'window': rasters.window_px,
        'overlap': rasters.overlap_px,
        'bands': rasters.bands,
        'gsd': rasters.gsd_m,
        'layers': rasters.layers,
    }
