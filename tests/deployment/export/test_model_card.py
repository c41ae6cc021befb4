"""What stands beside an exported model: its card, and its item for STAC catalogs."""

import hashlib
from dataclasses import replace

import pytest
import yaml

from projects.deployment.export.model_card import render
from projects.deployment.export.stac_item import stac_item
from projects.deployment.model_info import DETECTION, INSTANCES, SEGMENTATION, ModelInfo
from projects.deployment.qgis import for_qgis

ROOF = ModelInfo(
    SEGMENTATION,
    ('background', 'building'),
    ((0, 0, 0), (220, 20, 60)),
    (123.0, 116.0, 103.0),
    (58.0, 57.0, 57.5),
    threshold=0.5,
    config='unet_tiles',
    input_size=(256, 512),
    batch_size=1,
    gsd_m=0.3,
    dataset='mine',
)
OBJECTS = replace(
    ROOF, task=INSTANCES, classes=('traffic light', 'car'), threshold=None, input_size=None, batch_size=None, gsd_m=None
)
INFOS = {
    'one logit': ROOF,
    'for QGIS': for_qgis(ROOF, 0.3),
    'labels': replace(ROOF, threshold=None, output='labels'),
    'logits': replace(ROOF, threshold=None, output='logits'),
    'one class': replace(ROOF, classes=('building',), palette=((220, 20, 60),)),
    'objects': OBJECTS,
    'boxes': replace(OBJECTS, task=DETECTION),
    'objects for QGIS': for_qgis(replace(OBJECTS, input_size=(512, 512)), 0.3),
}
CONTENT = {
    'file': 'model.onnx',
    'file_mib': 1.5,
    'architecture': 'SHViT s4, SMPHead Unet',
    'num_parameters': 12_345_678,
    'latency_ms': {'pytorch': 20.0, 'exported': 10.0},
    'speedup': 2.0,
    'scores': {},
    'verification': {
        'is_detection': False, 'images': 2, 'checked': 100, 'equal': 100, 'share': 1.0, 'note': '', 'worst': [],
    },
}  # fmt: skip


@pytest.fixture
def files(tmp_path):
    for name in ('model.onnx', 'model.xml', 'model.bin', 'model.onnx.md'):
        (tmp_path / name).write_bytes(name.encode())
    return tmp_path


def item_of(info, folder, name='model.onnx'):
    return stac_item(info, folder / name, [folder / 'model.onnx.md'], architecture='U-Net', num_parameters=5)


def test_an_item_says_what_the_file_takes_and_gives(files):
    properties = item_of(ROOF, files)['properties']
    assert properties['mlm:name'] == 'unet_tiles'
    assert properties['mlm:tasks'] == ['semantic-segmentation']
    assert properties['gsd'] == 0.3
    (given,) = properties['mlm:input']
    assert given['input'] == {
        'shape': [1, 256, 512, 3],
        'dim_order': ['batch', 'height', 'width', 'bands'],
        'data_type': 'uint8',
    }
    (result,) = properties['mlm:output']
    assert result['result']['shape'] == [1, 1, 256, 512]
    classes = [(one['value'], one['name'], one['color_hint']) for one in result['classification:classes']]
    assert classes == [(0, 'background', '000000'), (1, 'building', 'DC143C')]


def test_an_item_of_a_file_for_qgis_says_its_tiles(files):
    properties = item_of(INFOS['for QGIS'], files)['properties']
    (given,) = properties['mlm:input']
    assert given['input'] == {
        'shape': [1, 3, 512, 512],
        'dim_order': ['batch', 'bands', 'height', 'width'],
        'data_type': 'float32',
    }
    assert given['value_scaling'] == [{'type': 'scale', 'value': 255}]
    assert properties['mlm:output'][0]['result']['shape'] == [1, 2, 512, 512]


def test_an_item_knows_its_files_by_their_content(files):
    assets = item_of(ROOF, files, 'model.xml')['assets']
    assert assets['model']['mlm:artifact_type'] == 'openvino'
    assert {name: asset['href'] for name, asset in assets.items()} == {
        'model': './model.xml',
        'weights': './model.bin',
        'report_md': './model.onnx.md',
    }
    expected = hashlib.sha256(b'model.bin').hexdigest()
    assert assets['weights']['file:checksum'] == f'1220{expected}', 'SHA-256 of 32 bytes as a multihash'
    assert assets['weights']['file:size'] == len('model.bin')


@pytest.mark.parametrize('name', INFOS)
def test_items_keep_the_rules_of_the_extension(files, name):
    """Those of https://stac-extensions.github.io/mlm/v1.5.0/schema.json that a slip would break."""
    item = item_of(INFOS[name], files)
    properties, asset = item['properties'], item['assets']['model']
    assert {'mlm:name', 'mlm:architecture', 'mlm:tasks', 'mlm:input', 'mlm:output'} <= set(properties)
    assert not {'mlm:artifact_type', 'bands'} & set(properties)
    assert 'mlm:model' in asset['roles']
    for given in properties['mlm:input']:
        assert given['bands'] == [band['name'] for band in asset['eo:bands']]
        assert 'bands' in given['input']['dim_order']
    for one in [*properties['mlm:input'], *properties['mlm:output']]:
        layout = one.get('input') or one['result']
        assert len(layout['shape']) == len(layout['dim_order']) == len(set(layout['dim_order']))
        assert all(isinstance(size, int) and size >= -1 for size in layout['shape'])
    names = [kind['name'] for one in properties['mlm:output'] for kind in one.get('classification:classes', [])]
    assert names
    assert all(' ' not in name for name in names)


@pytest.mark.parametrize('name', INFOS)
def test_items_are_valid(files, name):
    schema = pytest.importorskip('stac_model.schema')
    from jsonschema import Draft7Validator
    from pystac.validation.local_validator import get_local_schema_cache
    from referencing import Registry
    from referencing.jsonschema import DRAFT7

    item = item_of(INFOS[name], files)
    schemas = get_local_schema_cache()
    registry = Registry().with_resources([(uri, DRAFT7.create_resource(text)) for uri, text in schemas.items()])
    core = next(text for uri, text in schemas.items() if uri.endswith('/item.json'))
    assert [error.message for error in Draft7Validator(core, registry=registry).iter_errors(item)] == []
    read = schema.MLModelProperties(**item['properties'])
    assert read.name == INFOS[name].config
    assert len(read.output) == len(item['properties']['mlm:output'])


def front_and_page(text):
    before, front, page = text.split('---\n', 2)
    assert before == ''
    return yaml.safe_load(front), page


def test_a_card_has_the_scores_of_its_report_and_no_others():
    scores = {'mIoU': 84.813906, 'building/f1': 87.0, 'building/low-rise/f1': 90.3, 'bbox_mAP_l': -1.0}
    scores |= {'building/iou': float('nan')}
    content = CONTENT | {'scores': {'pytorch': scores, 'exported': scores}}
    front, page = front_and_page(render(content, ROOF, 'model.onnx.png', license='cc-by-4.0'))
    assert front['library_name'] == 'skyline'
    assert front['pipeline_tag'] == 'image-segmentation'
    assert front['license'] == 'cc-by-4.0'
    assert front['metrics'] == ['mean_iou', 'building/f1']
    (entry,) = front['model-index']
    assert entry['name'] == 'unet_tiles'
    (result,) = entry['results']
    assert result['dataset'] == {'type': 'mine', 'name': 'mine'}
    assert result['metrics'] == [
        {'type': 'mean_iou', 'name': 'mIoU', 'value': 84.8139},
        {'type': 'building/f1', 'name': 'building/f1', 'value': 87.0},
    ]
    assert '| building/low-rise/f1' in page, 'the page has all'
    assert '12,345,678 parameters' in page
    assert '0.3 m per pixel' in page


def test_what_is_not_known_is_left_out():
    front, page = front_and_page(render(CONTENT, replace(OBJECTS, task=DETECTION, dataset=''), 'model.onnx.png'))
    assert set(front) == {'library_name', 'pipeline_tag', 'tags'}
    assert front['pipeline_tag'] == 'object-detection'
    assert 'm per pixel' not in page
    assert 'tested on' not in page


def test_the_hub_reads_the_card():
    cards = pytest.importorskip('huggingface_hub')
    content = CONTENT | {'scores': {'pytorch': {'mIoU': 80.0}, 'exported': {'mIoU': 79.0}}}
    card = cards.ModelCard(render(content, ROOF, 'model.onnx.png'), ignore_metadata_errors=False)
    (result,) = card.data.eval_results
    assert (result.metric_type, result.metric_value, result.dataset_name) == ('mean_iou', 79.0, 'mine')
