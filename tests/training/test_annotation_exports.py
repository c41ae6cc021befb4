import json
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as mask_api

from projects.deployment.prediction.label_studio import interface, mask_outlines, write_tasks
from projects.pixels.run_lengths import encode_masks
from projects.training.annotation_exports import decode_brush, read_export
from projects.training.annotations import read_annotations


@pytest.fixture
def images(tmp_path):
    folder = tmp_path / 'images'
    for name, size in (
        ('a b.jpg', (100, 50)),
        ('north/c.png', (40, 60)),
        ('south/c.png', (40, 60)),
        ('d.jpg', (30, 20)),
    ):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new('RGB', size).save(folder / name)
    return folder


def pixels(annotation, size):
    mask = annotation['segmentation']
    codes = mask_api.merge(mask_api.frPyObjects(mask, size[1], size[0])) if isinstance(mask, list) else mask
    return mask_api.decode(codes) > 0


def region(kind, value, size=(100, 50), **more):
    common = {
        'type': kind,
        'from_name': 'label',
        'to_name': 'image',
        'original_width': size[0],
        'original_height': size[1],
    }
    return common | {'id': 'x', 'image_rotation': 0, 'value': value} | more


def export(path, *tasks):
    listed = [
        {'id': n, 'data': {'image': name}, 'annotations': drawn, 'predictions': []}
        for n, (name, drawn) in enumerate(tasks)
    ]
    path.write_text(json.dumps(listed))
    return path


def pack(values):
    """Label Studio's run lengths as `rle-pack` writes them, by its description."""
    bits = f'{len(values):032b}' + f'{7:05b}' + ''.join(f'{size - 1:04b}' for size in (3, 4, 8, 16))
    place = 0
    while place < len(values):
        end = place
        while end < len(values) and values[end] == values[place] and end - place < 2**16:
            end += 1
        bits += '1' + '11' + f'{end - place - 1:016b}' + f'{values[place]:08b}'
        place = end
    bits += '0' * (-len(bits) % 8)
    return [int(bits[i : i + 8], 2) for i in range(0, len(bits), 8)]


def test_label_studio_is_read_in_pixels_and_by_the_names_of_the_images(tmp_path, images):
    square = {'points': [[10, 20], [50, 20], [50, 80], [10, 80]], 'closed': True, 'polygonlabels': ['roof']}
    turned = {'x': 50, 'y': 0, 'width': 20, 'height': 20, 'rotation': 90, 'rectanglelabels': ['tree']}
    brush = np.zeros((60, 40, 4), np.uint8)
    brush[10:20, 5:9] = 255
    drawn = [
        {'was_cancelled': True, 'result': [region('polygonlabels', square)] * 3},
        {
            'result': [
                region('polygonlabels', square),
                region('rectanglelabels', turned),
                region('ellipselabels', {'ellipselabels': ['x']}),
            ]
        },
    ]
    values = {'format': 'rle', 'rle': pack(brush.ravel().tolist()), 'brushlabels': ['roof']}
    path = export(
        tmp_path / 'a.json',
        ('/data/upload/7/1a2b3c4d-a_b.jpg', drawn),
        ('/data/local-files/?d=north%2Fc.png', [{'result': [region('brushlabels', values, (40, 60))]}]),
        ('https://host/x/d.jpg?token=1', [{'result': []}]),
        ('s3://bucket/gone.jpg', [{'result': []}]),
    )
    content, skipped = read_export(path, images)
    assert [(image['file_name'], image['width'], image['height']) for image in content['images']] == [
        ('a b.jpg', 100, 50),
        ('north/c.png', 40, 60),
        ('d.jpg', 30, 20),
    ]
    assert skipped == {"regions of the type 'ellipselabels'": 1, 'images that are not in the folder': 1}
    roof, tree, brushed = content['annotations']
    assert roof['bbox'] == [10, 10, 40, 30]
    assert pixels(roof, (100, 50))[10:40, 10:50].all()
    assert roof['area'] == 40 * 30
    assert tree['bbox'] == pytest.approx([40, 0, 10, 20])  # 20 x 10 px, turned about its upper left corner
    assert (pixels(brushed, (40, 60)) == (brush[..., 3] > 0)).all()
    assert [category['name'] for category in content['categories']] == ['roof', 'tree']
    (tmp_path / 'coco.json').write_text(json.dumps(content))
    read, findings = read_annotations(tmp_path / 'coco.json')
    assert len(read['annotations']) == 3
    assert not findings.counts


def test_brushes_with_runs_that_differ_are_decoded():
    bits = (
        f'{5:032b}' + f'{7:05b}' + f'{2:04b}' * 4 + '0' + '00' + f'{2:03b}' + ''.join(f'{v:08b}' for v in (9, 0, 255))
    )
    bits += '1' + '01' + f'{1:03b}' + f'{7:08b}'
    bits += '0' * (-len(bits) % 8)
    assert decode_brush([int(bits[i : i + 8], 2) for i in range(0, len(bits), 8)]).tolist() == [9, 0, 255, 7, 7]


def test_cvat_is_read_with_groups_masks_rotation_and_images_without_objects(tmp_path, images):
    (tmp_path / 'a.xml').write_text("""<?xml version="1.0" encoding="utf-8"?>
<annotations><version>1.1</version><meta><job><labels><label><name>roof</name></label><label><name>tree</name></label>
</labels></job></meta>
<image id="0" name="batch/a b.jpg" width="100" height="50">
  <polygon label="roof" source="manual" occluded="0" points="0,0;10,0;10,10;0,10" z_order="1" group_id="4">
    <attribute name="note">flat</attribute></polygon>
  <polygon label="roof" occluded="0" points="20,0;30,0;30,10;20,10" z_order="0" group_id="4"/>
  <polygon label="roof" occluded="0" points="50,0;60,0;60,10;50,10" z_order="0"/>
  <polygon label="roof" occluded="0" points="70,0;80,0" z_order="0"/>
  <box label="tree" occluded="0" xtl="40" ytl="20" xbr="60" ybr="30" rotation="90" z_order="0">
    <attribute name="is_crowd">true</attribute></box>
  <mask label="tree" occluded="0" rle="1, 2, 2, 1" left="90" top="40" width="3" height="2" z_order="0" group_id="9"/>
  <box label="tree" occluded="0" xtl="90" ytl="40" xbr="93" ybr="42" z_order="0" group_id="9"/>
  <points label="tree" occluded="0" points="1,1" z_order="0"/>
</image>
<image id="5" name="d.jpg" width="30" height="20"/>
<image id="6" name="c.png" width="40" height="60"/>
</annotations>""")
    content, skipped = read_export(tmp_path / 'a.xml', images)
    assert [image['file_name'] for image in content['images']] == ['a b.jpg', 'd.jpg']
    assert skipped == {
        'shapes that enclose nothing': 1,
        "shapes of the type 'points'": 1,
        'images of a name that several have': 1,
    }
    two, one, mask, box = content['annotations']
    assert two['bbox'] == [0, 0, 30, 10]
    assert two['area'] == 200
    assert one['bbox'] == [50, 0, 10, 10]
    assert box['bbox'] == pytest.approx([45, 15, 10, 20])
    assert [one['iscrowd'] for one in content['annotations']] == [0, 0, 0, 1]
    assert np.argwhere(pixels(mask, (100, 50))).tolist() == [[40, 91], [40, 92], [41, 92]]


def test_coco_of_tools_keeps_its_ids_and_gets_the_names_of_the_images(tmp_path, images):
    counts = [0, 50, 1950]
    entries = [
        {
            'id': 7,
            'image_id': 30,
            'category_id': 12,
            'segmentation': {'size': [50, 40], 'counts': counts},
            'iscrowd': 1,
        },
        {
            'id': 8,
            'image_id': 31,
            'category_id': 12,
            'segmentation': [],
            'bbox': [1, 1, 5, 5],
            'attributes': {'occluded': False},
        },
    ]
    shown = [
        {'id': 30, 'file_name': 'images\\\\5e6f7a8b-a%20b.jpg', 'width': 100, 'height': 50},
        {'id': 31, 'file_name': 'north/c.png', 'width': 40, 'height': 60},
        {'id': 32, 'file_name': 'd.jpg', 'width': 20, 'height': 30},
    ]
    content = {
        'images': shown,
        'categories': [{'id': 12, 'name': 'roof'}],
        'annotations': entries,
    }
    (tmp_path / 'a.json').write_text(json.dumps(content))
    found, skipped = read_export(tmp_path / 'a.json', images)
    assert [(one['id'], one['file_name']) for one in found['images']] == [(30, 'a b.jpg'), (31, 'north/c.png')]
    assert [one['id'] for one in found['annotations']] == [7, 8]
    assert skipped == {'images of another size': 1}


def test_images_that_were_annotated_as_stored_are_not_trained_on_turned(tmp_path, images):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new('RGB', (30, 20)).save(images / 'd.jpg', exif=exif)
    shown = '<image id="0" name="d.jpg" width="{}" height="{}"/>'
    (tmp_path / 'upright.xml').write_text(f'<annotations>{shown.format(20, 30)}</annotations>')
    assert read_export(tmp_path / 'upright.xml', images)[0]['images'][0]['width'] == 20
    (tmp_path / 'stored.xml').write_text(f'<annotations>{shown.format(30, 20)}</annotations>')
    with pytest.raises(FileNotFoundError, match='annotated as they are stored, not upright'):
        read_export(tmp_path / 'stored.xml', images)


def test_what_is_no_export_is_told_in_one_line(tmp_path, images):
    for name, text in (
        ('a.json', '{'),
        ('b.json', '[{"image": "d.jpg", "label": []}]'),
        ('c.xml', '<x'),
        ('d.json', '{}'),
    ):
        (tmp_path / name).write_text(text)
        with pytest.raises(ValueError, match=f'{name} is no export that can be read') as error:
            read_export(tmp_path / name, images)
        assert '\n' not in str(error.value)


def detections():
    masks = np.zeros((2, 50, 100), bool)
    masks[0, 5:25, 10:40] = True
    masks[0, 10:12, 15:18] = False
    masks[1, 30:45, 60:90] = True
    masks[1, 40:50, 5:9] = True
    codes = encode_masks(masks)
    boxes = [[10, 5, 30, 20], [5, 30, 85, 20]]
    return masks, [
        {'category_id': n + 1, 'bbox': box, 'score': 0.9 - n / 2, 'area': 1, 'iscrowd': 0, 'segmentation': code}
        for n, (box, code) in enumerate(zip(boxes, codes, strict=True))
    ]


def test_predictions_are_tasks_whose_regions_are_read_back(tmp_path, images):
    masks, annotations = detections()
    entry = {'file_name': 'a b.jpg', 'width': 100, 'height': 50, 'annotations': annotations}
    write_tasks(tmp_path / 'tasks.json', ('roof', 'Bäume'), [entry, entry | {'annotations': []}], 'net')
    first, second = json.loads((tmp_path / 'tasks.json').read_text())
    assert first['data'] == {'image': '/data/local-files/?d=a%20b.jpg'}
    prediction = first['predictions'][0]
    assert (prediction['model_version'], prediction['score']) == ('net', pytest.approx(0.65))
    assert [one['value']['polygonlabels'] for one in prediction['result']] == [['roof'], ['Bäume'], ['Bäume']]
    assert len({one['id'] for one in prediction['result']}) == 3
    assert second['predictions'][0]['result'] == []
    path = export(tmp_path / 'out.json', (first['data']['image'], [{'result': prediction['result']}]))
    content, _ = read_export(path, images)
    roof, big, small = (pixels(one, (100, 50)) for one in content['annotations'])
    filled = masks[0].copy()
    filled[5:25, 10:40] = True
    assert (roof == filled).all()
    assert ((big | small) ^ masks[1]).sum() <= 5  # half of a triangle of 1 x 10 px
    shown = interface(('roof', 'Bäume'), ((1, 2, 255), (0, 0, 0)), True)
    assert '<PolygonLabels name="label" toName="image">' in shown
    assert '<Label value="roof" background="#0102ff"/>' in shown


def test_outlines_of_round_masks_stay_near_them():
    y, x = np.mgrid[:200, :200]
    disc = (x - 90) ** 2 + (y - 110) ** 2 < 70**2
    (outline,) = mask_outlines(disc)
    assert len(outline) < 60
    drawn = mask_api.decode(mask_api.merge(mask_api.frPyObjects([outline.ravel().tolist()], 200, 200))) > 0
    assert (drawn & disc).sum() / (drawn | disc).sum() > 0.98


def test_detections_without_masks_are_rectangles(tmp_path):
    one = {'category_id': 1, 'bbox': [10, 5, 30, 20], 'score': 0.5}
    write_tasks(
        tmp_path / 'a.json', ('roof',), [{'file_name': 'a.jpg', 'width': 100, 'height': 50, 'annotations': [one]}], ''
    )
    region = json.loads((tmp_path / 'a.json').read_text())[0]['predictions'][0]['result'][0]
    assert region['value'] == {'x': 10, 'y': 10, 'width': 30, 'height': 40, 'rotation': 0, 'rectanglelabels': ['roof']}


COCO_IMAGE = {'id': 1, 'file_name': 'd.jpg', 'width': 30, 'height': 20}
DRAWN = [{'result': []}]


@pytest.mark.parametrize(
    'content',
    [
        {'images': ['d.jpg'], 'categories': [], 'annotations': []},
        {'images': [{'id': 1}], 'categories': [], 'annotations': []},
        {'images': [COCO_IMAGE | {'file_name': '/'}], 'categories': [], 'annotations': []},
        {'images': [COCO_IMAGE | {'id': [1]}], 'categories': [], 'annotations': []},
        {'images': [COCO_IMAGE], 'categories': [], 'annotations': [{'id': 1, 'image_id': {}}]},
        [{'data': {'image': 'd.jpg'}, 'annotations': [{'result': [region('polygonlabels', {}, (float('inf'), 1))]}]}],
    ],
)
def test_exports_of_wrong_types_are_told(images, tmp_path, content):
    path = tmp_path / 'export.json'
    path.write_text(json.dumps(content))
    with pytest.raises(ValueError, match='is no export that can be read'):
        read_export(path, images)


def test_tasks_and_files_that_are_no_images_are_counted(images, tmp_path):
    (images / 'torn.png').write_bytes(b'no')
    path = tmp_path / 'export.json'
    path.write_text(json.dumps([{'data': data, 'annotations': DRAWN} for data in ({'image': 'd.jpg'}, {'text': 'a'})]))
    found, skipped = read_export(path, images)
    assert [image['file_name'] for image in found['images']] == ['d.jpg']
    assert skipped == {'tasks without an image': 1}
    content = {'images': [COCO_IMAGE, {'id': 2, 'file_name': 'torn.png'}], 'categories': [], 'annotations': []}
    path.write_text(json.dumps(content))
    found, skipped = read_export(path, images)
    assert [image['file_name'] for image in found['images']] == ['d.jpg']
    assert skipped == {'images that cannot be read': 1}


def test_names_of_classes_are_quoted_in_the_interface():
    names = ('a "b" <c> & d', "it's")
    root = ElementTree.fromstring(interface(names, ((1, 2, 3),) * 2, False))
    assert [label.get('value') for label in root.iter('Label')] == list(names)
