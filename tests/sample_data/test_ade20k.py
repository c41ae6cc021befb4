from pathlib import Path

import numpy as np
import pytest
from mmseg.datasets import ADE20KDataset
from PIL import Image

from projects.sample_data import ade20k
from projects.sample_data.ade20k import write_ade20k_sample

NUM_IMAGES = {'training': 36, 'validation': 12}
SIZE = (64, 80)
TINY = {'training': 1, 'validation': 1}
# a few values of the label maps, written down from objectInfo150.txt of the real archive
VALUES = {1: 'wall', 2: 'building', 3: 'sky', 4: 'floor', 5: 'tree', 6: 'ceiling', 7: 'road', 8: 'bed', 9: 'windowpane'}
VALUES |= {10: 'grass', 16: 'table', 17: 'mountain', 21: 'car', 27: 'sea', 150: 'flag'}


@pytest.fixture(scope='module')
def root(tmp_path_factory):
    return write_ade20k_sample(tmp_path_factory.mktemp('sample') / 'ADEChallengeData2016', NUM_IMAGES, SIZE)


@pytest.fixture(scope='module', params=['training', 'validation'])
def split(request):
    return request.param


def label_maps(root: Path, split: str) -> list[np.ndarray]:
    return [np.array(Image.open(path)) for path in sorted((root / 'annotations' / split).iterdir())]


def files(root: Path) -> dict[str, bytes]:
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob('*') if path.is_file()}


def test_folder_layout(root, split):
    prefix = {'training': 'train', 'validation': 'val'}[split]
    stems = {f'ADE_{prefix}_{number:08d}' for number in range(1, NUM_IMAGES[split] + 1)}
    assert {path.name for path in (root / 'images' / split).iterdir()} == {f'{stem}.jpg' for stem in stems}
    assert {path.name for path in (root / 'annotations' / split).iterdir()} == {f'{stem}.png' for stem in stems}
    assert {path.name for path in root.iterdir()} == {
        *('images', 'annotations', 'objectInfo150.txt', 'sceneCategories.txt', 'generated.json')
    }


def test_file_formats(root, split):
    sizes = set()
    for path, labels in zip(sorted((root / 'images' / split).iterdir()), label_maps(root, split), strict=True):
        image = Image.open(path)
        assert (image.format, image.mode) == ('JPEG', 'RGB')
        assert (labels.dtype, labels.shape) == (np.uint8, image.size[::-1])
        assert labels.max() <= 150
        sizes.add(image.size)
    assert sizes == {(80, 64), (64, 80)}  # wide and upright ones


def test_the_values_are_the_official_ones(root):
    assert {value: name for name, value in ade20k.LABEL_IDS.items() if value in VALUES} == VALUES
    rows = [line.split('\t') for line in (root / 'objectInfo150.txt').read_text().splitlines()]
    assert rows[0] == ['Idx', 'Ratio', 'Train', 'Val', 'Name']
    assert {int(row[0]): row[4] for row in rows[1:] if int(row[0]) in VALUES} == VALUES
    assert [int(row[0]) for row in rows[1:]] == list(range(1, 151))


def test_the_table_of_classes_counts_the_label_maps(root):
    maps = {split: label_maps(root, split) for split in NUM_IMAGES}
    pixels = np.concatenate([labels.ravel() for split in maps.values() for labels in split])
    for line in (root / 'objectInfo150.txt').read_text().splitlines()[1:]:
        number, ratio, train, val, _ = line.split('\t')
        value = int(number)
        assert float(ratio) == pytest.approx((pixels == value).sum() / (pixels > 0).sum(), abs=5e-5)
        assert int(train) == sum((labels == value).any() for labels in maps['training'])
        assert int(val) == sum((labels == value).any() for labels in maps['validation'])


def test_scene_categories(root):
    lines = [line.split(' ') for line in (root / 'sceneCategories.txt').read_text().splitlines()]
    stems = {path.stem for path in (root / 'images').rglob('*.jpg')}
    assert {stem for stem, _ in lines} == stems
    categories = dict(lines)
    for split in NUM_IMAGES:
        for path in (root / 'annotations' / split).iterdir():
            shown = set(np.unique(np.array(Image.open(path))).tolist())
            assert (8 in shown) == (categories[path.stem] == 'bedroom')
            assert (27 in shown) == (categories[path.stem] == 'coast')


def test_what_is_scored_was_shown_in_training_often_enough(root):
    shown = [set(np.unique(labels).tolist()) - {0} for labels in label_maps(root, 'training')]
    scored = set().union(*(set(np.unique(labels).tolist()) - {0} for labels in label_maps(root, 'validation')))
    assert len(scored) >= 12
    for value in scored:
        assert sum(value in values for values in shown) >= 0.1 * len(shown)
    assert any((labels == 0).any() for labels in label_maps(root, 'training'))


def test_labels_lie_on_what_the_pictures_show(root):
    pixels = {value: [] for value in VALUES}
    for path, labels in zip(sorted((root / 'images/training').iterdir()), label_maps(root, 'training'), strict=True):
        image = np.array(Image.open(path)).astype(float)
        for value in np.unique(labels[labels > 0]):
            pixels[value].append(image[labels == value])
    means = {value: np.concatenate(values).mean(axis=0) for value, values in pixels.items() if values}
    assert means[3].argmax() == means[27].argmax() == 2  # sky and sea are blue
    assert means[5].argmax() == means[10].argmax() == 1  # trees and grass are green
    assert means[4].argmax() == means[16].argmax() == 0  # floors and tables are brown
    assert np.ptp(means[7]) < 10  # roads are grey
    assert means[6].min() > 200  # ceilings are white
    assert means[3].mean() > means[27].mean()


def test_read_by_mmseg(root, split):
    dataset = ADE20KDataset(
        data_root=str(root),
        data_prefix={'img_path': f'images/{split}', 'seg_map_path': f'annotations/{split}'},
        pipeline=[{'type': 'LoadImageFromFile'}, {'type': 'mmseg.LoadAnnotations'}],
    )
    assert len(dataset) == NUM_IMAGES[split]
    for sample, labels in zip(dataset, label_maps(root, split), strict=True):
        assert sample['img'].shape == (*labels.shape, 3)
        np.testing.assert_array_equal(sample['gt_seg_map'], np.where(labels == 0, 255, labels.astype(int) - 1))
        for value in np.unique(labels[labels > 0]):
            assert dataset.metainfo['classes'][value - 1].strip() == ade20k.CLASSES[value - 1]


def test_same_arguments_give_the_same_bytes(tmp_path):
    first = write_ade20k_sample(tmp_path / 'first', TINY, SIZE)
    assert files(first) == files(write_ade20k_sample(tmp_path / 'second', TINY, SIZE))


def test_a_damaged_set_is_written_anew(tmp_path):
    root = write_ade20k_sample(tmp_path / 'set', TINY, SIZE)
    before = files(root)
    (root / 'annotations/training/ADE_train_00000001.png').write_bytes(b'')
    assert files(write_ade20k_sample(root, TINY, SIZE)) == before


def test_a_second_call_does_nothing(tmp_path, monkeypatch):
    root = write_ade20k_sample(tmp_path / 'set', TINY, SIZE)
    monkeypatch.setattr(ade20k, 'everyday_scene', None)
    assert write_ade20k_sample(root, TINY, SIZE) == root


@pytest.mark.parametrize(
    'changed',
    [{'num_images': {'training': 2, 'validation': 1}}, {'image_size': (48, 96)}, {'seed': 1}],
    ids=lambda changed: ','.join(changed),
)
def test_changed_arguments_regenerate(tmp_path, changed):
    arguments = {'num_images': TINY, 'image_size': SIZE, 'seed': 0}
    before = files(write_ade20k_sample(tmp_path / 'set', **arguments))
    after = files(write_ade20k_sample(tmp_path / 'set', **(arguments | changed)))
    name = 'images/validation/ADE_val_00000001.jpg'
    assert after['generated.json'] != before['generated.json']
    assert (after[name] == before[name]) == ('num_images' in changed)


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        ({'num_images': {'training': 2}}, "at least one of 'training' and of 'validation'"),
        ({'num_images': {'training': 0, 'validation': 1}}, 'at least one of'),
        ({'image_size': (128, 16)}, r'\(128, 16\): expected \(height, width\) of at least 32 px'),
    ],
)
def test_nonsense_is_refused(tmp_path, arguments, message):
    with pytest.raises(ValueError, match=message):
        write_ade20k_sample(tmp_path / 'set', **({'num_images': TINY} | arguments))
    assert not (tmp_path / 'set').exists()
