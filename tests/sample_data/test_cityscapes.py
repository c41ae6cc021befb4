import re
from pathlib import Path

import numpy as np
import pytest
from mmseg.datasets import CityscapesDataset
from PIL import Image

from projects.sample_data import cityscapes
from projects.sample_data.cityscapes import write_cityscapes_sample

NUM_IMAGES = {'train': 24, 'val': 6}
SIZE = (64, 128)
TINY = {'train': 1, 'val': 1}

# id: (train id, colour), written down from cityscapesScripts, helpers/labels.py
SCORED = {
    7: (0, (128, 64, 128)),
    8: (1, (244, 35, 232)),
    11: (2, (70, 70, 70)),
    12: (3, (102, 102, 156)),
    13: (4, (190, 153, 153)),
    17: (5, (153, 153, 153)),
    19: (6, (250, 170, 30)),
    20: (7, (220, 220, 0)),
    21: (8, (107, 142, 35)),
    22: (9, (152, 251, 152)),
    23: (10, (70, 130, 180)),
    24: (11, (220, 20, 60)),
    25: (12, (255, 0, 0)),
    26: (13, (0, 0, 142)),
    27: (14, (0, 0, 70)),
    28: (15, (0, 60, 100)),
    31: (16, (0, 80, 100)),
    32: (17, (0, 0, 230)),
    33: (18, (119, 11, 32)),
}
VOID_COLORS = {
    **dict.fromkeys(range(5), (0, 0, 0)),
    5: (111, 74, 0),
    6: (81, 0, 81),
    9: (250, 170, 160),
    10: (230, 150, 140),
    14: (180, 165, 180),
    15: (150, 100, 100),
    16: (150, 120, 90),
    18: (153, 153, 153),
    29: (0, 0, 90),
    30: (0, 0, 110),
}


@pytest.fixture(scope='module')
def root(tmp_path_factory):
    return write_cityscapes_sample(tmp_path_factory.mktemp('sample') / 'cityscapes', NUM_IMAGES, SIZE)


@pytest.fixture(scope='module', params=['train', 'val'])
def split(request):
    return request.param


def frames(root: Path, split: str) -> list[tuple[np.ndarray, dict[str, np.ndarray]]]:
    """Every image of a split with its label maps by kind."""
    found = []
    for path in sorted((root / 'leftImg8bit' / split).rglob('*.png')):
        stem = str(path).replace('leftImg8bit/', 'gtFine/').removesuffix('leftImg8bit.png')
        kinds = ('labelIds', 'labelTrainIds', 'color')
        found.append((np.array(Image.open(path)), {k: np.array(Image.open(f'{stem}gtFine_{k}.png')) for k in kinds}))
    return found


def files(root: Path) -> dict[str, bytes]:
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob('*') if path.is_file()}


def test_folder_layout(root, split):
    names = [path.relative_to(root / 'leftImg8bit' / split) for path in (root / 'leftImg8bit' / split).rglob('*.png')]
    assert len(names) == NUM_IMAGES[split]
    cities = set()
    expected = set()
    for name in names:
        matched = re.fullmatch(r'([a-z]+)/(\1_\d{6}_\d{6})_leftImg8bit\.png', name.as_posix())
        assert matched
        cities.add(matched[1])
        expected |= {f'{matched[1]}/{matched[2]}_gtFine_{kind}.png' for kind in ('labelIds', 'labelTrainIds', 'color')}
    assert len(cities) > 1
    label_files = (root / 'gtFine' / split).rglob('*')
    assert {path.relative_to(root / 'gtFine' / split).as_posix() for path in label_files if path.is_file()} == expected
    assert {path.name for path in root.iterdir()} == {'leftImg8bit', 'gtFine', 'generated.json'}


def test_no_city_is_in_both_splits(root):
    train, val = ({path.name for path in (root / 'gtFine' / split).iterdir()} for split in ('train', 'val'))
    assert not train & val


def test_file_formats(root, split):
    for image, labels in frames(root, split):
        assert (image.shape, image.dtype) == ((*SIZE, 3), np.uint8)
        assert (labels['labelIds'].shape, labels['labelIds'].dtype) == (SIZE, np.uint8)
        assert (labels['labelTrainIds'].shape, labels['labelTrainIds'].dtype) == (SIZE, np.uint8)
        assert labels['color'].shape == (*SIZE, 4)  # RGBA, as cityscapesScripts writes them


def test_train_ids_and_colors_follow_the_official_table(root, split):
    train_ids, colors = np.full(256, 254), np.full((256, 4), -1)
    for label_id, (train_id, color) in SCORED.items():
        train_ids[label_id], colors[label_id] = train_id, (*color, 255)
    for label_id, color in VOID_COLORS.items():
        train_ids[label_id], colors[label_id] = 255, (*color, 255)
    for _, labels in frames(root, split):
        np.testing.assert_array_equal(labels['labelTrainIds'], train_ids[labels['labelIds']])
        np.testing.assert_array_equal(labels['color'], colors[labels['labelIds']])


def test_the_whole_table_is_the_official_one():
    colors = list(cityscapes.LABELS.values())
    table = {number: (int(train_id), colors[number]) for number, train_id in enumerate(cityscapes.TRAIN_IDS)}
    assert table == SCORED | {label_id: (255, color) for label_id, color in VOID_COLORS.items()}
    names = dict(zip(cityscapes.TRAIN_IDS.tolist(), cityscapes.LABELS, strict=True))
    assert [names[train_id] for train_id in range(19)] == list(CityscapesDataset.METAINFO['classes'])


def test_all_void_labels_occur(root):
    found = set(np.unique([labels['labelIds'] for _, labels in frames(root, 'train')]).tolist())
    assert set(VOID_COLORS) <= found


def test_what_is_scored_was_shown_in_training_often_enough(root):
    shown = [set(np.unique(labels['labelTrainIds']).tolist()) - {255} for _, labels in frames(root, 'train')]
    scored = set.union(*(set(np.unique(labels['labelTrainIds'])) - {255} for _, labels in frames(root, 'val')))
    assert len(scored) >= 10
    for train_id in scored:
        assert sum(train_id in ids for ids in shown) >= 0.25 * len(shown)


def test_labels_lie_on_what_the_pictures_show(root):
    for image, labels in frames(root, 'train'):
        ids, pixels = labels['labelIds'], image.astype(float)
        means = {label: pixels[ids == label].mean(axis=0) for label in (7, 21, 23)}
        assert np.ptp(means[7]) < 0.1 * means[7].mean()  # asphalt is grey
        assert means[21].argmax() == 1  # leaves are green
        assert means[23].argmax() == 2  # the sky is blue
        assert means[23].min() > means[7].max()
        rows = np.arange(SIZE[0])[:, None] * np.ones(SIZE)
        assert rows[ids == 23].mean() < SIZE[0] / 3 < SIZE[0] / 2 < rows[ids == 7].mean()


def test_read_by_mmseg(root, split):
    pipeline = [{'type': 'LoadImageFromFile', 'imdecode_backend': 'pillow'}, {'type': 'mmseg.LoadAnnotations'}]
    dataset = CityscapesDataset(
        data_root=str(root),
        data_prefix={'img_path': f'leftImg8bit/{split}', 'seg_map_path': f'gtFine/{split}'},
        pipeline=pipeline,
    )
    assert len(dataset) == NUM_IMAGES[split]
    for sample, (image, labels) in zip(dataset, frames(root, split), strict=True):
        np.testing.assert_array_equal(sample['img'][..., ::-1], image)
        np.testing.assert_array_equal(sample['gt_seg_map'], labels['labelTrainIds'])


def test_same_arguments_give_the_same_bytes(tmp_path):
    first = write_cityscapes_sample(tmp_path / 'first', TINY, SIZE)
    assert files(first) == files(write_cityscapes_sample(tmp_path / 'second', TINY, SIZE))


def test_a_damaged_set_is_written_anew(tmp_path):
    root = write_cityscapes_sample(tmp_path / 'set', TINY, SIZE)
    before = files(root)
    next(root.rglob('*labelIds.png')).unlink()
    assert files(write_cityscapes_sample(root, TINY, SIZE)) == before


def test_a_second_call_does_nothing(tmp_path, monkeypatch):
    root = write_cityscapes_sample(tmp_path / 'set', TINY, SIZE)
    monkeypatch.setattr(cityscapes, 'street_view', None)
    assert write_cityscapes_sample(root, TINY, SIZE) == root


@pytest.mark.parametrize(
    'changed',
    [{'num_images': {'train': 2, 'val': 1}}, {'image_size': (48, 96)}, {'seed': 1}],
    ids=lambda changed: ','.join(changed),
)
def test_changed_arguments_regenerate(tmp_path, changed):
    arguments = {'num_images': TINY, 'image_size': SIZE, 'seed': 0}
    before = files(write_cityscapes_sample(tmp_path / 'set', **arguments))
    after = files(write_cityscapes_sample(tmp_path / 'set', **(arguments | changed)))
    name = 'leftImg8bit/val/frankfurt/frankfurt_000000_000019_leftImg8bit.png'
    assert after['generated.json'] != before['generated.json']
    assert (after[name] == before[name]) == ('num_images' in changed)


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        ({'num_images': {'train': 2}}, "num_images = {'train': 2}: expected at least one of 'train' and of 'val'"),
        ({'num_images': {'train': 0, 'val': 1}}, 'at least one of'),
        ({'image_size': (16, 128)}, r'\(16, 128\): expected \(height, width\) of at least 32 px'),
    ],
)
def test_nonsense_is_refused(tmp_path, arguments, message):
    with pytest.raises(ValueError, match=message):
        write_cityscapes_sample(tmp_path / 'set', **({'num_images': TINY} | arguments))
    assert not (tmp_path / 'set').exists()
