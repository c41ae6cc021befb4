"""An exported model as an item of a STAC catalog.

Machine Learning Model extension 1.5.2, https://github.com/stac-extensions/mlm; checksums by the file extension 2.1.0,
https://github.com/stac-extensions/file; bands by eo 1.1.0. Everything comes from the file's own description.
"""

import hashlib
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ..model_info import DETECTION, INSTANCES, SEGMENTATION, ModelInfo
from ..qgis import QGIS

EXTENSIONS = [
    'https://stac-extensions.github.io/mlm/v1.5.2/schema.json',
    'https://stac-extensions.github.io/eo/v1.1.0/schema.json',
    'https://stac-extensions.github.io/file/v2.1.0/schema.json',
    'https://stac-extensions.github.io/classification/v2.0.0/schema.json',
]
TASKS = {SEGMENTATION: 'semantic-segmentation', DETECTION: 'object-detection', INSTANCES: 'instance-segmentation'}
BANDS = ('red', 'green', 'blue')
MODEL_ROLE = 'mlm:model'
ARTIFACT_TYPES = {'.onnx': 'onnx', '.xml': 'openvino'}
MEDIA_TYPES = {
    '.onnx': 'application/octet-stream; framework=onnx',
    '.xml': 'text/xml; application=openvino-ir',
    '.bin': 'application/octet-stream',
    '.json': 'application/json',
    '.md': 'text/markdown',
    '.png': 'image/png',
}
SHA256 = '1220'  # what a multihash of 32 bytes by SHA-256 begins with


def checksum(path: Path) -> str:
    """SHA-256 of a file as a multihash in hexadecimal digits, https://github.com/multiformats/multihash."""
    with path.open('rb') as file:
        return SHA256 + hashlib.file_digest(file, 'sha256').hexdigest()


def stac_item(
    info: ModelInfo,
    path: Path,
    reports: Sequence[Path] = (),
    *,
    architecture: str,
    num_parameters: int,
    with_offsets: bool = False,
    license: str = '',
) -> dict[str, Any]:
    """An item whose assets are the files of an export.

    Args:
        info: What is in the metadata of the file.
        path: The exported `.onnx` or `.xml`, beside which its `.bin` lies.
        reports: What lies beside it, `.json`, `.md` and `.png`.
        architecture: Of the network, in words.
        num_parameters: Of the network.
        with_offsets: Whether a detector gives offsets and heights.
        license: Of the weights; '': not stated.

    Returns:
        GeoJSON: where a model is good is not known, so its geometry is null, and it has no bounding box.
    """
    created = datetime.now(UTC).isoformat(timespec='seconds').replace('+00:00', 'Z')
    properties: dict[str, Any] = {
        'title': info.config,
        'description': f'{info.task.capitalize()} in {info.precision}: {", ".join(info.classes[:5])}'
        + (f' and {len(info.classes) - 5} more' if len(info.classes) > 5 else ''),
        'datetime': created,
        'created': created,
        'mlm:name': _name(info.config),
        'mlm:architecture': architecture,
        'mlm:tasks': [TASKS[info.task]],
        'mlm:framework': 'ONNX' if path.suffix == '.onnx' else 'OpenVINO',
        'mlm:input': [_input(info)],
        'mlm:output': _outputs(info, with_offsets),
        'mlm:total_parameters': num_parameters,
        'mlm:hyperparameters': {'normalization.mean': list(info.mean), 'normalization.std': list(info.std)},
    }
    if info.batch_size is not None:
        properties['mlm:batch_size_suggestion'] = info.batch_size
    if info.gsd_m is not None:
        properties['gsd'] = info.gsd_m
    if license:
        properties['license'] = license
    model = {
        **_asset(path, [MODEL_ROLE, 'mlm:weights']),
        'title': f'{info.config}, {info.precision}',
        'mlm:artifact_type': ARTIFACT_TYPES[path.suffix],
        'eo:bands': [{'name': name, 'common_name': name} for name in BANDS],  # STAC 1.1 wants no `bands` in an item
    }
    assets = {'model': model}
    weights = path.with_suffix('.bin')
    if path.suffix == '.xml' and weights.is_file():
        model['roles'] = [MODEL_ROLE]
        assets['weights'] = _asset(weights, ['mlm:weights'])
    roles = {'.json': 'metadata', '.md': 'metadata', '.png': 'overview'}
    assets |= {f'report_{one.suffix[1:]}': _asset(one, [roles[one.suffix]]) for one in reports}
    return {
        'type': 'Feature',
        'stac_version': '1.1.0',
        'stac_extensions': EXTENSIONS,
        'id': path.name,
        'geometry': None,
        'properties': properties,
        'links': [],
        'assets': assets,
    }


def _asset(path: Path, roles: list[str]) -> dict[str, Any]:
    return {
        'href': f'./{path.name}',
        'type': MEDIA_TYPES[path.suffix],
        'roles': roles,
        'file:size': path.stat().st_size,
        'file:checksum': checksum(path),
    }


def _input(info: ModelInfo) -> dict[str, Any]:
    """What the file takes; the graph subtracts `mean` and divides by `std` itself, of levels from 0 to 255."""
    height, width = info.input_size or (-1, -1)
    batch = info.batch_size or -1
    if info.made_for == QGIS:
        structure = [('batch', batch), ('bands', 3), ('height', height), ('width', width)]
        scaling: list[dict[str, Any]] | None = [{'type': 'scale', 'value': 255}]
        how = 'RGB from 0 to 1; normalisation is part of the graph'
    else:
        structure = [('batch', batch), ('height', height), ('width', width), ('bands', 3)]
        scaling, how = None, 'RGB from 0 to 255; normalisation is part of the graph'
    return {
        'name': 'images',
        'description': how,
        'bands': list(BANDS),
        'input': {
            'shape': [size for _, size in structure],
            'dim_order': [name for name, _ in structure],
            'data_type': 'uint8' if scaling is None else 'float32',
        },
        'value_scaling': scaling,
        'resize_type': 'interpolation-linear' if info.scale is not None else None,
    }


def _outputs(info: ModelInfo, with_offsets: bool) -> list[dict[str, Any]]:
    """Names, shapes and kinds of what the file gives, as `Predictor` and `QgisGraph` describe them."""
    height, width = info.input_size or (-1, -1)
    batch, classes = info.batch_size or -1, len(info.classes)
    channels = 1 if info.threshold is not None else classes
    if info.is_segmentor:
        if info.made_for == QGIS and info.threshold is not None:
            channels = 2
        shapes = {
            'probabilities': {'batch': batch, 'class': channels, 'height': height, 'width': width},
            'labels': {'batch': batch, 'height': height, 'width': width},
            'logits': {'batch': batch, 'height': -1, 'width': -1, 'class': channels},
        }
        kind = 'float32' if info.output != 'labels' else 'uint8' if classes <= 256 else 'int32'
        return [_output(info, info.output, shapes[info.output], kind, with_classes=True)]
    if info.made_for == QGIS and info.task == DETECTION:
        return [_output(info, 'detections', {'batch': 1, 'detection': -1, 'value': 5 + classes}, with_classes=True)]
    if info.made_for == QGIS:
        detections = {'batch': 1, 'value': -1, 'detection': -1}
        prototypes = {'batch': 1, 'detection': -1, 'height': -1, 'width': -1}
        return [_output(info, 'detections', detections, with_classes=True), _output(info, 'prototypes', prototypes)]
    outputs = [
        _output(info, 'boxes', {'detection': -1, 'coordinate': 4}),
        _output(info, 'scores', {'detection': -1}),
        _output(info, 'labels', {'detection': -1}, 'int64', with_classes=True),
        _output(info, 'image_indices', {'detection': -1}, 'int64'),
    ]
    if info.task == INSTANCES:
        outputs.append(_output(info, 'masks', {'detection': -1, 'height': -1, 'width': -1}))
    if with_offsets:
        outputs.append(_output(info, 'offsets', {'detection': -1, 'coordinate': 2}))
        outputs.append(_output(info, 'heights', {'detection': -1}))
    return outputs


def _output(
    info: ModelInfo, name: str, shape: dict[str, int], data_type: str = 'float32', with_classes: bool = False
) -> dict[str, Any]:
    output: dict[str, Any] = {
        'name': name,
        'tasks': [TASKS[info.task]],
        'result': {'shape': list(shape.values()), 'dim_order': list(shape), 'data_type': data_type},
    }
    if with_classes:
        names = info.classes if len(info.classes) > 1 or not info.is_segmentor else ('background', *info.classes)
        colors = [f'{red:02X}{green:02X}{blue:02X}' for red, green, blue in info.palette]
        colors = ['000000'] * (len(names) - len(colors)) + colors
        output['classification:classes'] = [
            {'value': value, 'name': _slug(name), 'description': name, 'color_hint': color}
            for value, (name, color) in enumerate(zip(names, colors, strict=True))
        ]
    return output


def _slug(name: str) -> str:
    """Letters, digits, - and _, as names of classes must be."""
    return re.sub(r'[^0-9A-Za-z_-]+', '-', name).strip('-') or 'class'


def _name(config: str) -> str:
    """A letter first, a letter or digit last, as names of models must be."""
    return re.sub(r'^[^a-zA-Z]+|[^a-zA-Z0-9]+$', '', re.sub(r'[^a-zA-Z0-9_.\s-]', '-', config)) or 'model'
