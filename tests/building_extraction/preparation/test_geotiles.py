import importlib
import itertools
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pycocotools.coco import COCO

from projects.building_extraction.preparation.geotiles import GeotilesSettings, convert_geotiles
from projects.building_extraction.preparation.web_mercator import Tile, to_lon_lat_deg

KAMPALA = Path(__file__).parents[3] / '../shared/data/kampala'
ORIGIN = Tile(18, 154800, 130816)
SIZE = 32


def save_tile(folder, tile, image=None):
    image = image or Image.new('RGB', (SIZE, SIZE), (tile.x % 256, tile.y % 256, 90))
    image.save(folder / f'{tile.zoom}-{tile.x}-{tile.y}.png')


def grid_tiles(columns, rows):
    return [Tile(ORIGIN.zoom, ORIGIN.x + x, ORIGIN.y + y) for x in range(columns) for y in range(rows)]


def deeper(tiles):
    return [Tile(zoom + 1, 2 * x + i, 2 * y + j) for zoom, x, y in tiles for i in (0, 1) for j in (0, 1)]


def box(left, top, right, bottom):
    """Feature of a box in pixels from the north-west corner of ORIGIN."""
    pixels = np.array([(left, top), (right, top), (right, bottom), (left, bottom), (left, top)])
    grid = (np.array([ORIGIN.x, ORIGIN.y]) + pixels / SIZE) / 2**ORIGIN.zoom
    return {'type': 'Feature', 'geometry': {'type': 'Polygon', 'coordinates': [to_lon_lat_deg(grid).tolist()]}}


def house(column, row):
    return box(SIZE * column + 8, SIZE * row + 8, SIZE * column + 18, SIZE * row + 20)


@pytest.fixture
def area(tmp_path):
    """Five by two tiles at two zooms, a house in each coarse tile, and one on the border of columns 3 and 4."""
    (tmp_path / 'tiles').mkdir()
    tiles = grid_tiles(5, 2)
    for tile in tiles + deeper(tiles):
        save_tile(tmp_path / 'tiles', tile)
    features = [house(x, y) for x in range(5) for y in range(2)]
    write_labels(tmp_path, [*features, box(SIZE * 4 - 6, 2, SIZE * 4 + 5, 6), box(SIZE - 6, 2, SIZE + 5, 6)])
    return tmp_path


def write_labels(folder, features):
    (folder / 'labels.geojson').write_text(json.dumps({'type': 'FeatureCollection', 'features': features}))


def convert(folder, out='out', overwrite=False, **settings):
    return convert_geotiles(
        folder / 'tiles', folder / 'labels.geojson', folder / out, GeotilesSettings(**settings), overwrite=overwrite
    )


def test_a_set_says_what_is_stated_of_its_licences_and_one_without_can_be_replaced(area):
    convert(area)
    note = area / 'out/LICENSE.md'
    assert note.read_text().splitlines()[2:] == [
        f'- **{part}**: {area / name}. Licence: not stated; ask the owner of {area / name}'
        for part, name in (('images', 'tiles'), ('labels', 'labels.geojson'))
    ]
    note.unlink()  # as sets were written before
    stated = {'image_license': 'CC BY 4.0', 'label_license': 'ODbL 1.0, OpenStreetMap contributors'}
    paths = area / 'tiles', area / 'labels.geojson', area / 'out'
    convert_geotiles(*paths, GeotilesSettings(), overwrite=True, **stated)
    assert [line.split('Licence: ')[1] for line in note.read_text().splitlines()[2:]] == list(stated.values())


def load(out):
    return {name: json.loads((out / f'annotations/{name}.json').read_text()) for name in ('train', 'val')}


def grounds_intersect(first, second):
    zoom = min(first.zoom, second.zoom)
    return first.ancestor(zoom) == second.ancestor(zoom)


def check_set(out):
    """What must hold for every set: ids, masks, files, and no ground on both sides."""
    sets = load(out)
    images = [image for coco in sets.values() for image in coco['images']]
    annotations = [annotation for coco in sets.values() for annotation in coco['annotations']]
    assert len({image['id'] for image in images}) == len(images)
    assert len({annotation['id'] for annotation in annotations}) == len(annotations)
    assert {path.name for path in (out / 'images').iterdir()} == {image['file_name'] for image in images}
    for name, coco in sets.items():
        assert coco['categories'] == [{'id': 1, 'name': 'building'}]
        api = COCO(str(out / f'annotations/{name}.json'))
        for annotation in coco['annotations']:
            mask = api.annToMask(annotation)
            ys, xs = np.nonzero(mask)
            assert annotation['area'] == mask.sum()
            assert annotation['bbox'] == [xs.min(), ys.min(), np.ptp(xs) + 1, np.ptp(ys) + 1]
    train, val = ([Tile(*image['tile']) for image in sets[name]['images']] for name in ('train', 'val'))
    assert not any(grounds_intersect(a, b) for a, b in itertools.product(train, val))
    scored = {annotation['feature'] for annotation in sets['val']['annotations'] if not annotation['iscrowd']}
    learned = {annotation['feature'] for annotation in sets['train']['annotations']}
    assert scored
    assert not scored & learned
    return sets


def test_two_zooms_make_one_set_with_the_asked_share(area):
    report = convert(area)
    sets = check_set(area / 'out')
    assert len(sets['train']['images']) == 40
    assert len(sets['val']['images']) == 10
    image = sets['val']['images'][0]
    assert image['width'] == image['height'] == SIZE
    assert image['gsd_m'] == pytest.approx(156543.03392804097 / 2**18 * 256 / SIZE, rel=1e-3)
    with Image.open(area / 'out/images' / image['file_name']) as written:
        assert written.mode == 'RGB'
        assert written.getpixel((0, 0)) == (image['tile'][1] % 256, image['tile'][2] % 256, 90)
    # val is the first or last column; there, of the house on its border, one part at each of the two zooms
    assert {image['tile'][1] for image in sets['val']['images'] if image['tile'][0] == 18} <= {ORIGIN.x, ORIGIN.x + 4}
    assert report.shared_sides == 2
    crowd = [annotation for annotation in sets['val']['annotations'] if annotation['iscrowd']]
    assert len(crowd) == report.splits['val'].on_the_border == 2
    assert not any(annotation['iscrowd'] for annotation in sets['train']['annotations'])
    assert sum(a['feature'] == crowd[0]['feature'] for a in sets['train']['annotations']) == 2
    info = sets['val']['info']
    assert info['arguments']['val_share'] == 0.2
    assert info['counts']['splits']['val']['tiles'] == 10
    with Image.open(area / 'out/overview.png') as overview:
        assert min(overview.size) > 300


def test_house_area_and_report_text(area):
    text = str(convert(area))
    sets = load(area / 'out')
    coarse = {image['id'] for coco in sets.values() for image in coco['images'] if image['tile'][0] == 18}
    areas = {
        annotation['area']
        for coco in sets.values()
        for annotation in coco['annotations']
        if annotation['image_id'] in coarse and annotation['feature'] < 10
    }
    assert areas == {10 * 12}
    assert '50 used of 50 found' in text
    assert 'val        10 tiles (20.0%)' in text
    assert '2 cut by the split' in text


@pytest.mark.parametrize('val_share', [0.1, 0.3, 0.5])
def test_share_is_as_near_as_blocks_allow(area, val_share):
    convert(area, val_share=val_share)
    assert len(check_set(area / 'out')['val']['images']) == pytest.approx(50 * val_share, abs=2.5)


def test_coarser_blocks_keep_more_ground_together(area):
    convert(area, block_zoom=17)
    sets = check_set(area / 'out')
    blocks = [{Tile(*image['tile']).ancestor(17) for image in coco['images']} for coco in sets.values()]
    assert not blocks[0] & blocks[1]


def test_scattered_tiles_of_three_zooms(tmp_path):
    (tmp_path / 'tiles').mkdir()
    generator = np.random.default_rng(3)
    coarse = [tile for tile in grid_tiles(9, 7) if generator.random() < 0.6]
    fine = [tile for tile in deeper(grid_tiles(9, 7)) if generator.random() < 0.4]
    finest = [tile for tile in deeper(fine) if generator.random() < 0.3]
    for tile in coarse + fine + finest:
        save_tile(tmp_path / 'tiles', tile)
    houses = [house(x, y) for x in range(9) for y in range(7) if generator.random() < 0.5]
    write_labels(tmp_path, [*houses, box(0, SIZE * 3 - 5, SIZE * 9, SIZE * 3 + 5)])
    report = convert(tmp_path, val_share=0.25)
    sets = check_set(tmp_path / 'out')
    total = len(coarse + fine + finest)
    assert len(sets['val']['images']) / total == pytest.approx(0.25, abs=0.03)
    assert report.splits['val'].on_the_border > 0


def test_transparent_and_broken_tiles_are_left_out_and_named(area):
    tiles = area / 'tiles'
    clear = Image.new('RGBA', (SIZE, SIZE), (255, 255, 255, 0))
    save_tile(tiles, Tile(19, 2 * ORIGIN.x, 2 * ORIGIN.y), clear)
    half = clear.copy()
    half.paste((10, 20, 30, 255), (0, 0, 13, SIZE))
    save_tile(tiles, Tile(18, ORIGIN.x + 2, ORIGIN.y), half)
    (tiles / f'19-{2 * ORIGIN.x + 1}-{2 * ORIGIN.y}.png').write_bytes(b'broken')
    Image.new('RGB', (8, 8)).save(tiles / 'photo.png')
    report = convert(area, min_visible_share=0.6)
    sets = check_set(area / 'out')
    assert sum(len(coco['images']) for coco in sets.values()) == 48
    assert report.transparent == [f'19-{2 * ORIGIN.x}-{2 * ORIGIN.y}.png']
    assert report.bad[0].startswith(f'19-{2 * ORIGIN.x + 1}-{2 * ORIGIN.y}.png: cannot identify image')
    assert report.unnamed == ['photo.png']
    assert 'unreadable: 19-' in str(report)
    assert 'no tile name: photo.png' in str(report)
    # the house in that tile spans columns 8 to 18, visible up to 13: half of it
    assert sum(split.mostly_transparent for split in report.splits.values()) == 1
    image = next(i for c in sets.values() for i in c['images'] if i['tile'] == [18, ORIGIN.x + 2, ORIGIN.y])
    with Image.open(area / 'out/images' / image['file_name']) as written:
        assert written.getpixel((12, 5)) == (10, 20, 30)
        assert written.getpixel((13, 5)) == (0, 0, 0)


def test_too_many_broken_tiles_leave_nothing_behind(area):
    for x in range(4):
        (area / f'tiles/19-{2 * ORIGIN.x + x}-{2 * ORIGIN.y}.png').write_bytes(b'broken')
    with pytest.raises(ValueError, match=rf'4 of 50 tiles cannot be read, more than the 5%.*19-{2 * ORIGIN.x}-'):
        convert(area)
    assert {path.name for path in area.iterdir()} == {'tiles', 'labels.geojson'}
    convert(area, max_bad_share=0.1)
    assert (area / 'out/overview.png').is_file()


def test_labels_elsewhere_print_both_extents(area):
    far = {'type': 'Polygon', 'coordinates': [[[10, 50], [10.5, 50], [10.5, 51], [10, 50]]]}
    write_labels(area, [{'type': 'Feature', 'geometry': far}])
    west = ORIGIN.x / 2**18 * 360 - 180
    expected = rf'longitude {west:.6f} to .*longitude 10\.000000 to 10\.500000, latitude 50\.000000 to 51\.000000.*TMS'
    with pytest.raises(ValueError, match=expected):
        convert(area)


def test_output_folder_is_never_overwritten_by_accident(area):
    convert(area)
    before = (area / 'out/annotations/train.json').read_bytes()
    with pytest.raises(FileExistsError, match=r'holds a set already; pass --overwrite'):
        convert(area)
    convert(area, overwrite=True, val_share=0.4)
    assert (area / 'out/annotations/train.json').read_bytes() != before
    assert {path.name for path in area.iterdir()} == {'tiles', 'labels.geojson', 'out'}
    (area / 'out/thesis.txt').touch()
    with pytest.raises(FileExistsError, match=r'other files \(thesis\.txt\)'):
        convert(area, overwrite=True)
    with pytest.raises(FileExistsError, match=r'thesis\.txt is a file'):
        convert(area, out='out/thesis.txt', overwrite=True)


@pytest.mark.parametrize('out', ['.', 'tiles', 'tiles/out'])
def test_output_apart_from_input(area, out):
    with pytest.raises(ValueError, match=r'must lie apart from .*tiles'):
        convert(area, out=out, overwrite=True)
    assert len(list((area / 'tiles').iterdir())) == 50


def test_a_failed_replacement_keeps_the_old_set(area):
    convert(area)
    before = (area / 'out/annotations/train.json').read_bytes()
    write_labels(area, [house(0, 0)])
    with pytest.raises(ValueError, match='cannot split into training and validation: no cut of the 10 blocks'):
        convert(area, overwrite=True)
    assert (area / 'out/annotations/train.json').read_bytes() == before
    assert {path.name for path in area.iterdir()} == {'tiles', 'labels.geojson', 'out'}


def test_same_input_same_bytes(area):
    convert(area)
    convert(area, out='again')
    for name in ('train', 'val'):
        assert (area / f'out/annotations/{name}.json').read_bytes() == (
            area / f'again/annotations/{name}.json'
        ).read_bytes()


@pytest.mark.parametrize(
    ('settings', 'message'),
    [
        ({'val_share': 0}, 'val_share is 0; expected a number between 0 and 1'),
        ({'val_share': float('nan')}, 'val_share is nan'),
        ({'min_area_px': 0}, 'min_area_px is 0; expected at least 1'),
        ({'min_visible_share': 1.5}, 'min_visible_share is 1.5'),
        ({'max_bad_share': -0.1}, 'max_bad_share is -0.1'),
        ({'block_zoom': 19}, 'block_zoom is 19; expected 0 to 18'),
        ({'block_zoom': 0}, 'all tiles lie in 1 block of ground at zoom 0'),
    ],
)
def test_settings_out_of_range(area, settings, message):
    with pytest.raises(ValueError, match=message):
        convert(area, **settings)


def test_a_partition_has_training_validation_and_test_on_ground_of_their_own(area):
    report = convert(area, partition=(1, 3))
    out = area / 'out'
    columns = {}
    for part in ('train', 'val', 'test'):
        coco = json.loads((out / part / 'instances.json').read_text())
        assert coco == json.loads((out / f'annotations/{part}.json').read_text())
        columns[part] = {Tile(*image['tile']).ancestor(18).x - ORIGIN.x for image in coco['images']}
        for layer in ('images', 'masks', 'instances'):
            names = {Path(image['file_name']).name for image in coco['images']}
            assert {path.name for path in (out / part / layer).iterdir()} == names
    assert columns == {'test': {0, 1}, 'val': {2}, 'train': {3, 4}}
    assert [report.splits[part].tiles for part in ('train', 'val', 'test')] == [20, 10, 20]
    with pytest.raises(ValueError, match='do not make 6 strips'):
        convert(area, out='more', partition=(1, 6))
    with pytest.raises(ValueError, match=r'partition is \(5, 4\); expected which strip of how many'):
        convert(area, out='more', partition=(5, 4))


def test_masks_agree_with_the_instances_and_ignore_what_an_earlier_part_sees(area):
    convert(area, partition=(3, 3))  # columns 3 and 4 are the test, a house lies on the border of 3 and 4, and one here
    write_labels(area, [*(house(x, y) for x in range(5) for y in range(2)), box(SIZE * 3 - 6, 2, SIZE * 3 + 5, 6)])
    convert(area, overwrite=True, partition=(3, 3))
    name = f'18-{ORIGIN.x + 3}-{ORIGIN.y}.png'
    mask = np.asarray(Image.open(area / 'out/test/masks' / name))
    expected = np.zeros((SIZE, SIZE), np.uint8)
    expected[8:20, 8:18] = 255
    expected[2:6, 0:5] = 127  # validation sees the other half
    assert (mask == expected).all()
    instances = np.asarray(Image.open(area / 'out/test/instances' / name))
    assert ((instances > 0) == (expected == 255)).all()
    rows = json.loads((area / 'out/test/buildings' / name).with_suffix('.json').read_text())
    assert [(row['instance'], row['height_m'], row['area_px']) for row in rows] == [(instances.max(), None, 120)]


@pytest.fixture(scope='module')
def kampala(tmp_path_factory):
    if not KAMPALA.is_dir():
        pytest.skip(f'real tiles are not at {KAMPALA}')
    out = tmp_path_factory.mktemp('kampala') / 'set'
    return out, convert_geotiles(KAMPALA / 'tiles', KAMPALA / 'buildings.geojson', out, GeotilesSettings())


def test_kampala(kampala):
    out, report = kampala
    sets = check_set(out)
    assert (len(sets['train']['images']), len(sets['val']['images'])) == (80, 20)
    assert report.labels == {'used': 158, 'repaired': 1}
    assert report.gsd_m == pytest.approx({20: 0.1493, 21: 0.0746}, abs=1e-4)
    annotations = [annotation for coco in sets.values() for annotation in coco['annotations']]
    assert len({annotation['feature'] for annotation in annotations}) > 140
    assert report.splits['val'].instances > 50


def test_kampala_loads_in_mmdet(kampala):
    importlib.import_module('projects.openmmlab_compat')
    from mmcv.transforms import LoadImageFromFile
    from mmdet.datasets import CocoDataset
    from mmdet.datasets.transforms import LoadAnnotations, PackDetInputs

    out, report = kampala
    dataset = CocoDataset(
        ann_file='annotations/val.json',
        data_root=str(out),
        data_prefix={'img': 'images/'},
        metainfo={'classes': ('building',)},
        test_mode=True,
        pipeline=[LoadImageFromFile(), LoadAnnotations(with_mask=True), PackDetInputs(meta_keys=('img_id',))],
    )
    samples = [dataset[index]['data_samples'] for index in range(len(dataset))]
    assert len(samples) == 20
    assert sum(len(sample.gt_instances) for sample in samples) == report.splits['val'].instances
    assert sum(len(sample.ignored_instances) for sample in samples) == report.splits['val'].on_the_border
    areas = sorted(int(mask.sum()) for sample in samples for mask in sample.gt_instances.masks.masks)
    assert areas == sorted(a['area'] for a in load(out)['val']['annotations'] if not a['iscrowd'])


BANEPA = Path(__file__).parents[3] / '../shared/data/banepa'


@pytest.mark.skipif(not BANEPA.is_dir(), reason=f'real tiles are not at {BANEPA}')
def test_banepa_is_tested_on_once_in_four_partitions(tmp_path):
    places = []
    for strip in (1, 4):
        out = tmp_path / str(strip)
        report = convert_geotiles(
            BANEPA / 'labelled', BANEPA / 'buildings.geojson', out, GeotilesSettings(partition=(strip, 4))
        )
        assert [report.splits[part].tiles for part in ('train', 'val', 'test')] == [20, 4, 8]
        assert report.gsd_m == pytest.approx({19: 0.132}, abs=1e-3)
        assert report.splits['test'].on_the_border > 0
        coco = json.loads((out / 'test/instances.json').read_text())
        places.append({tuple(image['tile']) for image in coco['images']})
        masks = [np.asarray(Image.open(path)) for path in (out / 'test/masks').iterdir()]
        building, ignored = (np.mean([(mask == value).mean() for mask in masks]) for value in (255, 127))
        assert building / (1 - ignored) == pytest.approx({1: 0.45, 4: 0.34}[strip], abs=0.03)
    assert not places[0] & places[1]
