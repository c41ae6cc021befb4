"""What a program must know of a model besides its weights."""

import dataclasses
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mmengine.config import Config

SEGMENTATION, DETECTION, INSTANCES = 'semantic segmentation', 'object detection', 'instance segmentation'
KEY = 'skyline'  # of the JSON in the metadata of a file
FORMAT = 1
MIN_SIDE_PX = 32  # of what networks are given: a graph of any size takes images from here on


@dataclass(frozen=True)
class ModelInfo:
    """Task, classes and images of a model; travels as JSON in the metadata of every exported file.

    Attributes:
        task: `SEGMENTATION`, `DETECTION` or `INSTANCES`.
        classes: Their names, in the order of the labels.
        palette: Their colours, RGB 0 to 255.
        mean: Of the red, green and blue channel, 0 to 255; subtracted inside the graph.
        std: What the graph divides by.
        scale: Width and height that the recipe resizes images to before the graph; None: they keep their size.
        keep_ratio: Whether they keep their proportions, and fit into `scale`.
        size_divisor: The graph pads images below and to the right to a multiple of it.
        threshold: Of a segmentor with one logit: class 1 is where its probability is above; None: the most probable
            class.
        mask_threshold: An instance's mask is where its probability is at least this.
        strides: Of the maps that the heads work on, in pixels.
        config: Name of the config.
        precision: Of weights and activations: 'fp32', 'fp16', 'bf16' or 'int8'.
        output: Of a segmentor: 'probabilities', 'labels', or 'logits', which are resized outside of the graph.
        input_size: Height and width that the graph is fixed to; None: any of at least `MIN_SIDE_PX`.
        batch_size: Images per call that the graph is fixed to; None: any.
        accuracy: Scores of verification and data set, before and after the export.
        weight_bits: Of int8, that weights have at most; see `runtimes.processor.exact_weight_bits`.
        made_for: 'qgis': a file that takes and gives what plugins of QGIS do, see `qgis`; '': what `Predictor` does.
        gsd_m: Ground sample distance of the images that the network is given, metres per pixel; None: unknown.
        dataset: What the config tests on.
        max_proposals: That a two-stage detector looks at, None: as its recipe says.
    """

    task: str
    classes: tuple[str, ...]
    palette: tuple[tuple[int, int, int], ...]
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    scale: tuple[int, int] | None = None
    keep_ratio: bool = True
    size_divisor: int = 1
    threshold: float | None = None
    mask_threshold: float = 0.5
    strides: tuple[int, ...] = ()
    config: str = ''
    precision: str = 'fp32'
    output: str = 'probabilities'
    input_size: tuple[int, int] | None = None
    batch_size: int | None = None
    accuracy: dict[str, Any] = dataclasses.field(default_factory=dict)
    weight_bits: int = 8
    made_for: str = ''
    gsd_m: float | None = None
    dataset: str = ''
    max_proposals: int | None = None

    @property
    def found(self) -> str:
        """Of a segmentor, what is found in the end: 'probabilities' or 'labels'."""
        if self.output != 'logits':
            return self.output
        return 'labels' if self.threshold is None else 'probabilities'

    @property
    def is_segmentor(self) -> bool:
        """Whether the model labels pixels, not objects."""
        return self.task == SEGMENTATION

    def to_json(self) -> str:
        """The text that `from_json` reads."""
        return json.dumps({'format': FORMAT, **dataclasses.asdict(self)})

    @classmethod
    def from_json(cls, text: str) -> 'ModelInfo':
        """Read what `to_json` wrote.

        Raises:
            ValueError: It is something else, or of another version.
        """
        try:
            given = json.loads(text)
            if given.pop('format') != FORMAT:
                raise ValueError('another version of the format')
            if given.pop('lean_consensus', False):  # of earlier files
                raise ValueError('offsets get their common lean in the graph, which this file does not have')
            tuples = {field.name for field in dataclasses.fields(cls) if 'tuple' in str(field.type)}
            given = {key: _tuple(value) if key in tuples else value for key, value in given.items()}
            return cls(**given)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ValueError(f'no description of a Skyline model: {error}; export the model again') from error

    @classmethod
    def from_config(cls, cfg: 'Config') -> 'ModelInfo':
        """Read a config.

        Args:
            cfg: A config whose `custom_imports` were imported (as `Config.fromfile` does).

        Raises:
            ValueError: Its model is no segmentor of mmseg or detector of mmdet that can be described.
        """
        from mmengine.dataset import BaseDataset  # only now: exported files are read without
        from mmengine.registry import DATASETS, DefaultScope

        model, dataset = cfg.model, cfg.test_dataloader.dataset
        preprocessor = model.data_preprocessor
        with DefaultScope.overwrite_default_scope(cfg.default_scope):
            dataset_class = DATASETS.get(dataset.type)
        assert issubclass(dataset_class, BaseDataset)
        metainfo = {**dataset_class.METAINFO, **dataset.get('metainfo', {})}
        classes = tuple(metainfo['classes'])
        head = model.get('decode_head')
        if head is not None:
            task, threshold = SEGMENTATION, head.get('threshold', 0.3) if head.get('out_channels') == 1 else None
            divisor = preprocessor.get('test_cfg', {}).get('size_divisor', 1)
        else:
            task = INSTANCES if 'mask_head' in model.get('roi_head', {}) else DETECTION
            threshold, divisor = None, preprocessor.get('pad_size_divisor', 1)
        resize = next((step for step in dataset.pipeline if step['type'] == 'Resize' and 'scale' in step), None)
        rcnn = model.get('test_cfg', {}).get('rcnn', {})
        return cls(
            task=task,
            classes=classes,
            palette=tuple((int(red), int(green), int(blue)) for red, green, blue in metainfo['palette'])[
                : len(classes)
            ],
            mean=_rgb(preprocessor.mean),
            std=_rgb(preprocessor.std),
            scale=None if resize is None else tuple(resize['scale']),
            keep_ratio=resize is None or resize.get('keep_ratio', False),
            size_divisor=divisor,
            threshold=threshold,
            mask_threshold=rcnn.get('mask_thr_binary', 0.5),
            config=Path(cfg.filename).stem,
            dataset=_dataset_name(dataset.get('data_root')),
        )


def _dataset_name(root: str | None) -> str:
    """Of the folder that a data set lies in; those of `sample_data` say that they are."""
    if not root:
        return ''
    folder = Path(root)
    return f'{folder.name} (generated sample)' if folder.parent.name == 'sample' else folder.name


def _rgb(levels: Sequence[float]) -> tuple[float, float, float]:
    red, green, blue = map(float, levels)
    return red, green, blue


def _tuple(value: Any) -> Any:
    return tuple(map(_tuple, value)) if isinstance(value, list) else value
