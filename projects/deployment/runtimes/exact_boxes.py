"""Boxes of an OpenVINO file that is computed in half precision: what becomes coordinates and scores stays in float32.

bfloat16 tells no two coordinates between 512 and 1024 px apart that are closer than 4 px. OpenVINO computes in full
precision what follows the last layer of weights, but not what chooses the regions that later layers look at.

Sums of features, as of residual blocks and pyramids, stay in float32, too: what a block adds to what all before it have
found is lost by rounding to 8 bits block after block. That costs no time, as the convolution before a sum computes in
half precision as ever, and writes the sum.

Versions of OpenVINO before 2026.4 do not heed the marks on processors.
"""

import xml.etree.ElementTree as ET
from collections import defaultdict
from pathlib import Path

WEIGHTED = ('Convolution', 'GroupConvolution', 'MatMul', 'FakeQuantize', 'ROIAlign', 'Parameter', 'Const')
CONSTANT = ('Const', 'Convert')  # the latter of those that are stored in half precision
READ_BY = {'NonMaxSuppression': (0, 1), 'ROIAlign': (1,)}  # their inputs that are boxes or scores, by position
RESULTS = ('boxes', 'scores', 'offsets', 'heights')  # outputs of a detector
ATTRIBUTE = {'name': 'precise', 'version': '0'}  # how OpenVINO's files say that a layer keeps its precision


def keep_boxes_exact(path: Path) -> int:
    """Mark the layers of an `.xml` that lie between weights and boxes, or scores, and sums; returns how many these are.

    A file without boxes stays as it is.
    """
    tree = ET.parse(path)  # noqa: S314 - a file that was just written here
    layers = {layer.get('id'): layer for layer in tree.iterfind('layers/layer')}
    sources: dict[str | None, dict[int, str | None]] = defaultdict(dict)
    for edge in tree.iterfind('edges/edge'):
        sources[edge.get('to-layer')][int(edge.get('to-port', 0))] = edge.get('from-layer')
    pending = [
        sources[identity][port] for identity, layer in layers.items() for port in READ_BY.get(layer.get('type', ''), ())
    ]
    pending += [
        source
        for identity, layer in layers.items()
        if layer.get('type') == 'Result' and _names(layers, sources[identity][0]) & {*RESULTS}
        for source in sources[identity].values()
    ]
    marked = set()
    while pending:
        identity = pending.pop()
        if identity in marked or layers[identity].get('type') in WEIGHTED:
            continue
        marked.add(identity)
        pending += sources[identity].values()
    if marked:
        marked |= {
            identity
            for identity, layer in layers.items()
            if layer.get('type') == 'Add'
            and not any(layers[source].get('type') in CONSTANT for source in sources[identity].values())
        }
        for identity in marked:
            _mark(layers[identity])
        tree.write(path, encoding='utf-8', xml_declaration=True)
    return len(marked)


def _names(layers: dict[str | None, ET.Element], identity: str | None) -> set[str]:
    return {name for port in layers[identity].iterfind('output/port') for name in port.get('names', '').split(',')}


def _mark(layer: ET.Element) -> None:
    told = layer.find('rt_info')
    if told is None:
        told = ET.Element('rt_info')
        layer.insert(1 if layer.find('data') is not None else 0, told)
    ET.SubElement(told, 'attribute', ATTRIBUTE)
