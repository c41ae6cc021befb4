"""Cityscapes and ADE20K files in their real layouts: the same labels as mmseg's, and every kind of bad file."""

import re
from pathlib import Path
from zlib import crc32

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmseg.datasets import ADE20KDataset, CityscapesDataset
from mmseg.evaluation import IoUMetric
from PIL import Image

from projects.training.segmentation_datasets import CheckedADE20KDataset, CheckedCityscapesDataset

NUM_IMAGES, HEIGHT, WIDTH = 20, 24, 32  # one bad image in 20 is 5 %, the share that is allowed
BASES = Path(__file__).parents[2] / 'configs' / '_base_' / 'datasets'
LOAD = [{'type': 'LoadImage'}, {'type': 'LoadSegmentation'}, {'type': 'PackSegInputs'}]
QUICK = {'pipeline': LOAD, 'serialize_data': False}  # serialising ends with a garbage collection of everything
MMSEG_LOAD = [{'type': 'LoadImageFromFile'}, {'type': 'LoadAnnotations'}, {'type': 'PackSegInputs'}]

# The 19 classes that are scored, by their ids in labelIds maps (https://www.cityscapes-dataset.com/dataset-overview and
# the order of labels in cityscapesScripts); the other ids up to 33 are void.
CITYSCAPES_IDS = {
    **{7: 'road', 8: 'sidewalk', 11: 'building', 12: 'wall', 13: 'fence', 17: 'pole', 19: 'traffic light'},
    **{20: 'traffic sign', 21: 'vegetation', 22: 'terrain', 23: 'sky', 24: 'person', 25: 'rider', 26: 'car'},
    **{27: 'truck', 28: 'bus', 31: 'train', 32: 'motorcycle', 33: 'bicycle'},
}


@pytest.fixture(autouse=True)
def _mmseg_scope():
    init_default_scope('mmseg')  # as in the configs


def save(path, array):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path)


def random_labels(values, seed=0):
    return np.random.default_rng(seed).choice(np.array(values, np.uint8), (HEIGHT, WIDTH))


def random_image(seed):
    return np.random.default_rng(seed).integers(1, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)  # nowhere black


@pytest.fixture
def ade(tmp_path):
    """ADE20K: JPEGs, and label maps with the background 0, the classes 1 to 150 and a few 255."""
    for index in range(NUM_IMAGES):
        save(tmp_path / 'images/validation' / f'ADE_val_{index:08}.jpg', random_image(index))
        labels = random_labels([*range(151), 255], index)
        save(tmp_path / 'annotations/validation' / f'ADE_val_{index:08}.png', labels)
    return tmp_path


@pytest.fixture
def cityscapes(tmp_path):
    """Cityscapes: images of two cities, with labelTrainIds and, of the same content, labelIds."""
    lookup = np.full(256, 255, np.uint8)
    for train_id, label_id in enumerate(sorted(CITYSCAPES_IDS)):
        lookup[label_id] = train_id
    for index in range(NUM_IMAGES):
        city = ('aachen', 'ulm')[index % 2]
        name = f'{city}_{index:06}_000019'
        save(tmp_path / 'leftImg8bit/train' / city / f'{name}_leftImg8bit.png', random_image(index))
        labels = random_labels(range(34), index)
        save(tmp_path / 'gtFine/train' / city / f'{name}_gtFine_labelIds.png', labels)
        save(tmp_path / 'gtFine/train' / city / f'{name}_gtFine_labelTrainIds.png', lookup[labels])
    return tmp_path


def build_ade(root, dataset=CheckedADE20KDataset, **options):
    prefix = {'img_path': 'images/validation', 'seg_map_path': 'annotations/validation'}
    return dataset(data_root=str(root), data_prefix=prefix, **{**QUICK, **options})


def build_cityscapes(root, dataset=CheckedCityscapesDataset, **options):
    prefix = {'img_path': 'leftImg8bit/train', 'seg_map_path': 'gtFine/train'}
    return dataset(data_root=str(root), data_prefix=prefix, **{**QUICK, **options})


def ade_labels(root, index):
    return root / 'annotations/validation' / f'ADE_val_{index:08}.png'


def ade_image(root, index):
    return root / 'images/validation' / f'ADE_val_{index:08}.jpg'


def labels_of(dataset):
    return torch.stack([dataset[index]['data_samples'].gt_sem_seg.data[0] for index in range(len(dataset))])


def remove_all(root, pattern):
    for path in list(root.rglob(pattern)):
        path.unlink()


def truncate(path, share=0.5):
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])


# ---------------------------------------------------------------------------------------------------- the same as mmseg


def assert_equal(ours, theirs):
    assert ours.metainfo == theirs.metainfo
    assert len(ours) == len(theirs) == NUM_IMAGES
    for one, two in zip(ours, theirs, strict=True):
        assert torch.equal(one['inputs'], two['inputs'])
        one, two = one['data_samples'], two['data_samples']
        assert one.metainfo == two.metainfo  # with the paths of both files
        assert torch.equal(one.gt_sem_seg.data, two.gt_sem_seg.data)


@pytest.mark.parametrize('classes', [None, ('sky', 'wall', 'tree')])
def test_ade20k_gives_what_mmseg_gives(ade, classes):
    metainfo = classes and {'classes': classes}
    ours = build_ade(ade, metainfo=metainfo)
    theirs = build_ade(ade, ADE20KDataset, metainfo=metainfo, pipeline=MMSEG_LOAD)
    assert_equal(ours, theirs)


def test_ade20k_counts_classes_from_one_and_ignores_the_background(ade):
    raw = np.stack([np.asarray(Image.open(ade_labels(ade, index))) for index in range(NUM_IMAGES)])
    assert {0, 1, 150, 255} <= set(raw.flat)
    labels = labels_of(build_ade(ade)).numpy()
    assert (labels[(raw == 0) | (raw == 255)] == 255).all()
    inside = (raw > 0) & (raw < 255)
    assert (labels[inside] == raw[inside] - 1).all()


@pytest.mark.parametrize('classes', [None, ('bicycle', 'road', 'sky')])
def test_cityscapes_gives_what_mmseg_gives(cityscapes, classes):
    metainfo = classes and {'classes': classes}
    ours = build_cityscapes(cityscapes, metainfo=metainfo)
    theirs = build_cityscapes(cityscapes, CityscapesDataset, metainfo=metainfo, pipeline=MMSEG_LOAD)
    assert_equal(ours, theirs)


@pytest.mark.parametrize('classes', [None, ('bicycle', 'road', 'sky')])
def test_label_ids_alone_give_the_same_as_converted_train_ids(cityscapes, classes):
    metainfo = classes and {'classes': classes}
    converted = labels_of(build_cityscapes(cityscapes, metainfo=metainfo))
    remove_all(cityscapes, '*_labelTrainIds.png')
    assert torch.equal(labels_of(build_cityscapes(cityscapes, metainfo=metainfo)), converted)


def test_each_cityscapes_id_becomes_its_class(cityscapes):
    remove_all(cityscapes, '*_labelTrainIds.png')
    dataset = build_cityscapes(cityscapes)
    raw = np.stack([np.asarray(Image.open(path)) for path in sorted(cityscapes.rglob('*_labelIds.png'))])
    labels = labels_of(dataset).numpy()
    for value in range(34):
        name = CITYSCAPES_IDS.get(value)
        expected = 255 if name is None else dataset.metainfo['classes'].index(name)
        assert (labels[raw == value] == expected).all(), (value, name)


def test_converted_train_ids_suffice(cityscapes):
    expected = labels_of(build_cityscapes(cityscapes))
    remove_all(cityscapes, '*_labelIds.png')
    assert torch.equal(labels_of(build_cityscapes(cityscapes)), expected)


def test_coarse_label_ids_are_recognized(cityscapes):
    expected = labels_of(build_cityscapes(cityscapes))
    remove_all(cityscapes, '*_labelTrainIds.png')
    for path in list(cityscapes.rglob('*_labelIds.png')):
        path.rename(path.with_name(path.name.replace('gtFine', 'gtCoarse')))
    dataset = build_cityscapes(cityscapes, seg_map_suffix='_gtCoarse_labelTrainIds.png')
    assert torch.equal(labels_of(dataset), expected)


def test_label_maps_with_a_palette_are_read_as_indices(ade):
    expected = build_ade(ade)[0]['data_samples'].gt_sem_seg.data
    image = Image.open(ade_labels(ade, 0))
    image.putpalette(np.random.default_rng(0).integers(0, 256, 768).tolist())
    assert image.mode == 'P'
    image.save(ade_labels(ade, 0))
    assert torch.equal(build_ade(ade)[0]['data_samples'].gt_sem_seg.data, expected)


def test_folders_behind_links_are_searched(cityscapes):
    for name in ('leftImg8bit/train', 'gtFine/train'):
        elsewhere = cityscapes / 'elsewhere' / name
        elsewhere.parent.mkdir(parents=True, exist_ok=True)
        (cityscapes / name / 'ulm').rename(elsewhere)
        (cityscapes / name / 'ulm').symlink_to(elsewhere)
    assert len(build_cityscapes(cityscapes)) == NUM_IMAGES


def test_images_can_be_listed_in_a_file(ade):
    (ade / 'some.txt').write_text('ADE_val_00000003\nADE_val_00000001\n')
    dataset = build_ade(ade, ann_file='some.txt')
    assert [Path(sample['data_samples'].img_path).stem[-1] for sample in dataset] == ['3', '1']


# ------------------------------------------------------------------------------------------------------ bad label maps


def write_colors(path):
    save(path, random_image(0))


def write_16_bit(path):
    save(path, random_labels(range(19)).astype(np.uint16))


def write_one_bit(path):
    save(path, random_labels([0, 1]).astype(bool))


def write_other_size(path):
    save(path, random_labels(range(19))[:, :-1])


def spoil_chunk_length(path):
    content = bytearray(path.read_bytes())
    start = content.index(b'IDAT')
    content[start - 4 : start] = (10).to_bytes(4, 'big')  # what follows these 10 bytes is no chunk
    path.write_bytes(content)


def insert_short_gamma(path):
    content, chunk = path.read_bytes(), b'gAMA' + bytes(2)  # the standard asks for 4 bytes
    start = content.index(b'IDAT') - 4
    chunk = (2).to_bytes(4, 'big') + chunk + crc32(chunk).to_bytes(4, 'big')
    path.write_bytes(content[:start] + chunk + content[start:])


BAD_LABELS = {
    'colours': (write_colors, rf'one 8-bit value per pixel.*uint8 of \({HEIGHT}, {WIDTH}, 3\)'),
    '16 bit': (write_16_bit, rf'one 8-bit value per pixel.*uint16 of \({HEIGHT}, {WIDTH}\)'),
    'one bit': (write_one_bit, 'one 8-bit value per pixel.*bool of'),
    'other size': (write_other_size, rf'of its image of \({HEIGHT}, {WIDTH}\).*uint8 of \({HEIGHT}, {WIDTH - 1}\)'),
    'truncated': (truncate, ''),
    'only a header': (lambda path: truncate(path, 0.05), ''),
    'chunk length': (spoil_chunk_length, 'broken PNG'),  # pillow's SyntaxError
    'gamma': (insert_short_gamma, 'Truncated gAMA|cannot identify'),  # its ValueError, or its older releases' OSError
    'empty': (lambda path: path.write_bytes(b''), 'cannot identify image file'),
    'text': (lambda path: path.write_text('not an image'), 'cannot identify image file'),
    'gone': (Path.unlink, 'No such file'),  # after the data set has been listed
}


@pytest.mark.parametrize(('spoil', 'reason'), BAD_LABELS.values(), ids=BAD_LABELS)
def test_bad_label_maps_are_replaced_in_training_and_not_scored_in_evaluation(ade, logged, spoil, reason):
    training, evaluation = build_ade(ade), build_ade(ade, test_mode=True)
    whole = evaluation[4]['data_samples']
    assert not whole.get('unreadable', False)
    assert (whole.gt_sem_seg.data != 255).any()
    spoil(ade_labels(ade, 4))
    assert training[4]['data_samples'].img_path != str(ade_image(ade, 4))
    assert training[5]['data_samples'].img_path == str(ade_image(ade, 5))
    sample = evaluation[4]['data_samples']
    assert sample.unreadable
    assert sample.img_path == str(ade_image(ade, 4))
    assert sample.ori_shape == (HEIGHT, WIDTH)
    assert sample.gt_sem_seg.data.shape == (1, HEIGHT, WIDTH)
    assert (sample.gt_sem_seg.data == 255).all()
    named = [
        text for text in logged if re.search(f'unreadable image 1 of .*{ade_labels(ade, 4).name}: .*({reason})', text)
    ]
    assert len(named) == 2  # once by each data set


@pytest.mark.parametrize(
    ('build', 'remove', 'pattern', 'values', 'unknown', 'known'),
    [
        (build_ade, None, 'annotations/validation/*02.png', [0, 150, 151, 254], [151, 254], '149, 150, 255'),
        (build_cityscapes, None, 'gtFine/*/*/*_000002_*_labelTrainIds.png', [18, 19, 254], [19, 254], '17, 18, 255'),
        (
            build_cityscapes,
            '*_labelTrainIds.png',
            'gtFine/*/*/*_000002_*_labelIds.png',
            [0, 33, 34, 254],
            [34, 254],
            '32, 33, 255',
        ),
    ],
    ids=['ade', 'trainIds', 'labelIds'],
)
def test_unknown_values_are_named(request, logged, build, remove, pattern, values, unknown, known):
    root = request.getfixturevalue('ade' if build is build_ade else 'cityscapes')
    if remove:
        remove_all(root, remove)
    (path,) = root.glob(pattern)
    save(path, random_labels(values))
    dataset = build(root, max_unreadable_share=1.0, serialize_data=True)
    paths = {Path(dataset[index]['data_samples'].seg_map_path) for index in range(NUM_IMAGES)}
    assert path not in paths
    assert len(paths) == NUM_IMAGES - 1
    (message,) = [text for text in logged if 'skipped' in text]
    assert f'{path}: unknown label values {unknown}; known are [0, 1, ' in message
    assert message.endswith(f'{known}]')


def test_values_of_classes_that_are_left_out_are_known(ade, logged):
    labels = labels_of(build_ade(ade, metainfo={'classes': ('wall', 'sky')}))
    assert set(labels.unique().tolist()) == {0, 1, 255}
    assert not any('skipped' in text for text in logged)


# ---------------------------------------------------------------------------------------------------------- bad images


@pytest.mark.parametrize('spoil', [truncate, Path.unlink, lambda path: path.write_bytes(b'')])
def test_unreadable_images_are_replaced_in_training_and_black_in_evaluation(ade, spoil):
    training, evaluation = build_ade(ade), build_ade(ade, test_mode=True)
    labels = evaluation[4]['data_samples'].gt_sem_seg.data
    spoil(ade_image(ade, 4))
    assert training[4]['data_samples'].img_path != str(ade_image(ade, 4))
    sample = evaluation[4]
    assert sample['inputs'].shape == (3, HEIGHT, WIDTH)
    assert sample['inputs'].sum() == 0
    assert sample['data_samples'].unreadable
    assert torch.equal(sample['data_samples'].gt_sem_seg.data, labels)  # scored


def test_an_image_without_readable_image_and_labels_survives(ade):
    evaluation = build_ade(ade, test_mode=True)
    ade_image(ade, 4).write_bytes(b'')
    ade_labels(ade, 4).unlink()
    sample = evaluation[4]
    assert sample['inputs'].sum() == 0
    assert (sample['data_samples'].gt_sem_seg.data == 255).all()
    assert sample['data_samples'].gt_sem_seg.data.shape[1:] == sample['inputs'].shape[1:]


def test_a_truncated_image_with_labels_of_another_size_is_not_scored(ade):
    evaluation = build_ade(ade, test_mode=True)
    truncate(ade_image(ade, 4), 0.9)  # its header remains
    write_other_size(ade_labels(ade, 4))
    assert evaluation[4]['inputs'].shape == (3, HEIGHT, WIDTH)
    assert (evaluation[4]['data_samples'].gt_sem_seg.data == 255).all()


@pytest.mark.parametrize('share', [0.1, 0.5, 0.9, 0.99])
def test_a_truncated_png_is_recognized_wherever_it_ends(cityscapes, share):
    dataset = build_cityscapes(cityscapes, test_mode=True)
    truncate(Path(dataset.get_data_info(4)['img_path']), share)
    assert dataset[4]['data_samples'].unreadable


@pytest.mark.parametrize('test_mode', [False, True])
def test_one_bad_file_in_twenty_is_survived_and_two_are_not(ade, test_mode):
    dataset = build_ade(ade, test_mode=test_mode)
    truncate(ade_image(ade, 4))
    write_colors(ade_labels(ade, 5))
    dataset[4]
    loader = 'val_dataloader' if test_mode else 'train_dataloader'
    with pytest.raises(ValueError, match=rf'2 of 20 images are unreadable.*5%.*00005\.png.*{loader}\.dataset'):
        dataset[5]


# -------------------------------------------------------------------------------------------------------- absent files


@pytest.mark.parametrize('test_mode', [False, True])
def test_images_without_label_map_are_left_out_and_named(ade, logged, test_mode):
    ade_labels(ade, 4).unlink()
    dataset = build_ade(ade, test_mode=test_mode)
    paths = [sample['data_samples'].img_path for sample in dataset]
    assert len(paths) == NUM_IMAGES - 1
    assert str(ade_image(ade, 4)) not in paths
    assert any(re.search(r'1 of 20 label maps do not exist: .*00004\.png', text) for text in logged)
    ade_labels(ade, 5).unlink()
    with pytest.raises(ValueError, match=r'2 of 20 label maps do not exist.*00005\.png.*5%.*max_unreadable_share'):
        build_ade(ade, test_mode=test_mode)


@pytest.mark.parametrize(
    ('folder', 'kind'), [('leftImg8bit/train', 'images'), ('gtFine/train', 'label maps')], ids=['images', 'labels']
)
def test_absent_and_empty_folders_are_named(cityscapes, folder, kind):
    suffix = {'images': '_leftImg8bit.png', 'label maps': '_gtFine_labelIds.png'}[kind]
    remove_all(cityscapes / folder, '*.png')
    with pytest.raises(FileNotFoundError, match=rf'No \*{suffix} below .*{folder}; data/README\.md'):
        build_cityscapes(cityscapes, max_unreadable_share=1.0)
    (cityscapes / folder).rename(cityscapes / 'moved')
    with pytest.raises(FileNotFoundError, match=rf'No folder of {kind} at .*{folder}\. The data .* from example\.org'):
        build_cityscapes(cityscapes, source='example.org')


# -------------------------------------------------------------------------------------------- pipelines of the configs


def pipeline_of(name, kind):
    return Config.fromfile(BASES / f'{name}.py')[kind]


@pytest.mark.parametrize('name', ['ade', 'cityscapes'])
def test_augmentation_follows_from_seed_epoch_and_index(request, name):
    root = request.getfixturevalue(name)
    config, build = {'ade': ('ade20k', build_ade), 'cityscapes': ('cityscapes', build_cityscapes)}[name]

    def draw(order, epoch, seed=1):
        dataset = build(root, pipeline=pipeline_of(config, 'train_pipeline'))
        dataset.set_position(seed=seed, epoch=epoch)
        samples = {index: dataset[index] for index in order}
        return [(samples[i]['inputs'], samples[i]['data_samples'].gt_sem_seg.data) for i in sorted(samples)]

    def equal(one, two):
        return [torch.equal(a[0], b[0]) and torch.equal(a[1], b[1]) for a, b in zip(one, two, strict=True)]

    forwards = draw([0, 1, 2], epoch=2)
    assert all(equal(forwards, draw([2, 1, 0], epoch=2)))
    assert not any(equal(forwards, draw([0, 1, 2], epoch=3)))
    assert not any(equal(forwards, draw([0, 1, 2], epoch=2, seed=2)))


def test_labels_stay_with_their_pixels_through_augmentation(ade):
    """Grey levels that state the class are still beside it after resizing, cropping and flipping."""
    pipeline = [step for step in pipeline_of('ade20k', 'train_pipeline') if step.type != 'DistortColors']
    coarse = np.kron(random_labels(range(1, 151))[:3, :4], np.ones((HEIGHT, WIDTH), np.uint8))
    save(ade_labels(ade, 0), coarse)
    ade_image(ade, 0).unlink()
    save(ade_image(ade, 0), np.repeat(coarse[..., None], 3, axis=2))
    dataset = build_ade(ade, pipeline=pipeline)
    for epoch in range(4):
        dataset.set_position(seed=0, epoch=epoch)
        sample = dataset[0]
        difference = (sample['inputs'].float().mean(0) - sample['data_samples'].gt_sem_seg.data[0] - 1).abs()
        assert (difference < 4).float().mean() > 0.9  # JPEG blurs, resizing mixes at edges


@pytest.mark.parametrize('kind', ['test_pipeline', 'tta_pipeline'])
@pytest.mark.parametrize('spoiled', ['image', 'labels', 'both'])
def test_testing_survives_bad_files_with_and_without_augmentation(ade, kind, spoiled):
    dataset = build_ade(ade, pipeline=pipeline_of('ade20k', kind), test_mode=True)
    if spoiled != 'labels':
        truncate(ade_image(ade, 4), 0.9)
    if spoiled != 'image':
        write_other_size(ade_labels(ade, 4))
    sample = dataset[4]
    augmented = kind == 'tta_pipeline'
    inputs, data_samples = (sample[key] if augmented else [sample[key]] for key in ('inputs', 'data_samples'))
    assert len(inputs) == len(data_samples) == (12 if augmented else 1)
    assert len({image.shape for image in inputs}) == (6 if augmented else 1)
    for image, data_sample in zip(inputs, data_samples, strict=True):
        assert image.sum() == 0
        assert data_sample.unreadable
        assert data_sample.ori_shape == (HEIGHT, WIDTH)
        assert data_sample.gt_sem_seg.data.shape == (1, HEIGHT, WIDTH)  # at its own size
        assert (data_sample.gt_sem_seg.data == 255).all() == (spoiled != 'image')


# ------------------------------------------------------------------------------------------------------------- scoring


def score(pairs, classes=('a', 'b', 'c')):
    """Scores of mmseg's metric for pairs of predicted and true label maps."""
    metric = IoUMetric()
    metric.dataset_meta = {'classes': classes}
    for predicted, true in pairs:
        sample = {'pred_sem_seg': {'data': torch.tensor([predicted])}, 'gt_sem_seg': {'data': torch.tensor([true])}}
        metric.process({}, [sample])
    return metric.evaluate(len(pairs))


def test_an_image_whose_labels_are_all_ignored_does_not_count():
    pair = ([[0, 0, 1, 1]], [[0, 1, 1, 255]])
    scores = score([pair])
    assert scores == score([pair, ([[2, 1, 0, 0]], [[255, 255, 255, 255]])])
    assert scores == {'aAcc': pytest.approx(66.67), 'mIoU': 50.0, 'mAcc': 75.0}  # class c occurs nowhere: left out
