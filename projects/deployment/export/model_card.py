"""The page of an exported model: what it is, how it was verified and, as the Hugging Face Hub reads it, its scores.

The block before it is that of https://huggingface.co/docs/hub/model-cards; nothing stands in it that is not known.
"""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from projects.reporting.markdown import bullets, document
from projects.reporting.number_format import file_size, fixed, three_digits
from projects.reporting.tables import Table

from ..model_info import DETECTION, ModelInfo
from ..qgis import QGIS

METRICS = {'mIoU': 'mean_iou', 'aAcc': 'accuracy'}  # names of the hub; others keep ours
FORMATS = {'.onnx': 'onnx', '.xml': 'openvino'}
NAMED = 12  # classes


def render(
    content: Mapping[str, Any], info: ModelInfo, picture: str, more: Sequence[str | Table] = (), license: str = ''
) -> str:
    """A model card.

    Args:
        content: Of the report, see `report.describe`.
        info: Of the file.
        picture: Name of the picture beside it.
        more: Parts behind it.
        license: Of the weights, by its name on the hub; '': not stated.
    """
    verification = content['verification']
    size = 'any size' if info.input_size is None else '{}x{} px'.format(*info.input_size)
    batch = 'any number' if info.batch_size is None else info.batch_size
    named = ', '.join(info.classes[:NAMED]) + (
        f' and {len(info.classes) - NAMED} more' if len(info.classes) > NAMED else ''
    )
    ground = '' if info.gsd_m is None else f', {info.gsd_m:.3g} m per pixel'
    parts = [
        f'# {content["file"]}',
        f'{info.config}, {info.task}, {info.precision}; images of {size}{ground}, {batch} per call; '
        f'{file_size(content["file_mib"] * 2**20)}',
        bullets(
            [
                f'network: {content["architecture"]}, {content["num_parameters"]:,} parameters',
                f'classes: {named}',
                *([f'tested on: {info.dataset}'] if info.dataset else []),
                *([f'looks at {info.max_proposals} proposals'] if info.max_proposals else []),
                *(['made for the QGIS plugin Deepness and geodeep'] if info.made_for == QGIS else []),
            ]
        ),
        f'```bash\ntools/predict.py {content["file"]} photos/ --out predictions\n```',
        _comparison(content),
        verification['note'] and f'Verified {verification["note"]}.',
        bullets((f'{case["image"]}: {case["text"]}' for case in verification['worst']), 'Largest deviations:'),
        f'![predictions]({picture})',
        *more,
    ]
    front = yaml.safe_dump(front_matter(content, info, license), sort_keys=False, allow_unicode=True)
    return f'---\n{front}---\n\n{document(parts)}\n'


def front_matter(content: Mapping[str, Any], info: ModelInfo, license: str = '') -> dict[str, Any]:
    """What the hub reads; scores are those of the file itself, on its test set, where they were asked for."""
    task = 'object-detection' if info.task == DETECTION else 'image-segmentation'
    front: dict[str, Any] = {
        'library_name': 'skyline',
        'pipeline_tag': task,
        'tags': [FORMATS[Path(content['file']).suffix], info.task.replace(' ', '-')],
    }
    if license:
        front['license'] = license
    scores = {
        name: round(value, 4)
        for name, value in content['scores'].get('exported', {}).items()
        if math.isfinite(value) and value >= 0 and name.count('/') < 2  # -1: COCO's for none; the table has the rest
    }
    if scores and info.dataset:
        front['metrics'] = list(dict.fromkeys(METRICS.get(name, name) for name in scores))
        results = [{'type': METRICS.get(name, name), 'name': name, 'value': value} for name, value in scores.items()]
        dataset = {'type': info.dataset, 'name': info.dataset}
        front['model-index'] = [
            {'name': info.config, 'results': [{'task': {'type': task}, 'dataset': dataset, 'metrics': results}]}
        ]
    return front


def _comparison(content: Mapping[str, Any]) -> Table:
    verification, latency_ms = content['verification'], content['latency_ms']
    what = 'detections' if verification['is_detection'] else 'pixels'
    rows = [
        [
            'latency of a batch (median, in turns)',
            f'{three_digits(latency_ms["pytorch"])} ms',
            f'{three_digits(latency_ms["exported"])} ms ({fixed(content["speedup"], 2)} times as fast)',
        ],
        [
            f'equal {what} on {verification["images"]} images',
            f'{verification["checked"]:,}',
            f'{verification["equal"]:,} ({verification["share"]:.3%})',
        ],
    ]
    before, after = content['scores'].get('pytorch', {}), content['scores'].get('exported', {})
    rows += [[name, f'{before[name]:.4g}', f'{value:.4g}'] for name, value in after.items() if name in before]
    return Table('', ['', 'PyTorch', 'exported'], rows)
