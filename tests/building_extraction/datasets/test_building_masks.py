"""Image and mask pairs in the layouts of four public sets: exact labels, stated values, and a look at the polarity."""

import re

import numpy as np
import pytest
import torch
from mmengine.registry import init_default_scope
from PIL import Image

from projects.building_extraction.datasets import loading  # noqa: F401 (registers)
from projects.building_extraction.datasets.building_masks import BuildingMaskDataset
from projects.building_extraction.datasets.mask_survey import survey_masks
from projects.building_extraction.datasets.mask_values import MaskValues
from projects.pixels.decoding import UnreadableImageError

HEIGHT, WIDTH = 40, 48
LOAD = [{'type': 'LoadAerialImage'}, {'type': 'LoadBuildingMask'}, {'type': 'PackSegInputs'}]


@pytest.fixture(autouse=True)
def _mmseg_scope():
    init_default_scope('mmseg')  # as in the configs


def save(path, array, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path, **options)


def houses(seed=0):
    """Separate rectangles, (H, W) bool."""
    rng = np.random.default_rng(seed)
    mask = np.zeros((HEIGHT, WIDTH), bool)
    for top in range(0, HEIGHT - 8, 10):
        for left in range(0, WIDTH - 8, 12):
            height, width = rng.integers(3, 8, 2)
            mask[top + 1 : top + 1 + height, left + 1 : left + 1 + width] = True
    return mask


def image(seed=0):
    return np.random.default_rng(seed).integers(1, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)


def dataset(root, images, masks, **options):
    settings = {'building': 255, 'pipeline': LOAD, 'serialize_data': False, **options}
    return BuildingMaskDataset(data_root=str(root), data_prefix={'img_path': images, 'seg_map_path': masks}, **settings)


def labels_of(one):
    return torch.stack([sample['data_samples'].gt_sem_seg.data[0] for sample in one]).numpy()


def stems(one):
    return [re.sub(r'\.\w+$', '', one.get_data_info(index)['img_path']).split('/')[-1] for index in range(len(one))]


# ------------------------------------------------------------------------------------------------- layouts of real sets


def write_whu(root, mask_of=houses, count=4):
    for index in range(count):
        save(root / 'train/image' / f'{index}.tif', image(index))
        save(root / 'train/label' / f'{index}.tif', np.uint8(255) * mask_of(index))


def test_whu_has_255_on_0_in_tiff(tmp_path):
    write_whu(tmp_path)
    one = dataset(tmp_path, 'train/image', 'train/label')
    assert len(one) == 4
    np.testing.assert_array_equal(labels_of(one), [houses(index) for index in range(4)])
    assert one.metainfo['classes'] == ('background', 'building')


def test_massachusetts_has_red_buildings_in_tiff(tmp_path):
    for index in range(3):
        save(tmp_path / 'train' / f'{index}_15.tiff', image(index))
        red = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
        red[houses(index), 0] = 255
        save(tmp_path / 'train_labels' / f'{index}_15.tif', red)
    one = dataset(tmp_path, 'train', 'train_labels', building=(255, 0, 0), background=[(0, 0, 0)])
    np.testing.assert_array_equal(labels_of(one), [houses(index) for index in range(3)])


def test_inria_divides_one_folder_by_a_list(tmp_path):
    for city in ('austin', 'kitsap'):
        for index in (1, 6):
            save(tmp_path / 'train/images' / f'{city}{index}.tif', image(index))
            save(tmp_path / 'train/gt' / f'{city}{index}.tif', np.uint8(255) * houses(index))
    (tmp_path / 'train.txt').write_text('kitsap6\n\naustin6\n')
    one = dataset(tmp_path, 'train/images', 'train/gt', ann_file='train.txt')
    assert stems(one) == ['kitsap6', 'austin6']
    assert len(dataset(tmp_path, 'train/images', 'train/gt')) == 4
    (tmp_path / 'train.txt').write_text('austin7\n')
    with pytest.raises(
        FileNotFoundError, match=r"train\.txt lists 1 images.*'austin7'.*such as \['austin1', 'austin6'"
    ):
        dataset(tmp_path, 'train/images', 'train/gt', ann_file='train.txt')


LOVEDA = {'building': 2, 'background': [1, 3, 4, 5, 6, 7], 'ignored': [0]}


def test_loveda_has_two_parts_and_other_classes(tmp_path):
    rng = np.random.default_rng(0)
    raw = {}
    for part, names in (('Rural', ('0', '1')), ('Urban', ('0', '1366'))):  # the same name in both
        for name in names:
            raw[part, name] = rng.integers(0, 8, (HEIGHT, WIDTH), dtype=np.uint8)
            save(tmp_path / 'Train' / part / 'images_png' / f'{name}.png', image())
            save(tmp_path / 'Train' / part / 'masks_png' / f'{name}.png', raw[part, name])
    one = dataset(
        tmp_path, 'Train', 'Train', image_name='{}/images_png/{}', mask_name='{}/masks_png/{}', num_surveyed=0, **LOVEDA
    )
    assert len(one) == 4
    expected = np.stack(list(raw.values()))
    labels = labels_of(one)
    assert (labels[expected == 0] == 255).all()
    assert (labels[expected == 2] == 1).all()
    assert (labels[(expected == 1) | (expected > 2)] == 0).all()


def test_images_and_masks_of_one_folder_are_told_apart_by_their_names(tmp_path):
    for index in range(2):
        save(tmp_path / f'{index}_sat.jpg', image(index))
        save(tmp_path / f'{index}_mask.png', np.uint8(255) * houses(index))
        save(tmp_path / f'{index}_mask_old.png', np.uint8(255) * houses(index + 1))
    one = dataset(tmp_path, '', '', image_name='{}_sat', mask_name='{}_mask')
    np.testing.assert_array_equal(labels_of(one), [houses(index) for index in range(2)])


# --------------------------------------------------------------------------------------------------------- mask values

RED, BLACK, WHITE = (255, 0, 0), (0, 0, 0), (255, 255, 255)


def write_mask(path, mode):
    mask = houses()
    gray = np.uint8(255) * mask
    if mode == 'palette':
        indexed = Image.fromarray(mask.astype(np.uint8)).convert('P')
        indexed.putpalette([*BLACK, *RED])
        indexed.save(path)
    elif mode == 'RGBA':
        save(path, np.dstack([gray, 0 * gray, 0 * gray, 0 * gray + 255]))
    else:
        save(path, {'1': mask, 'L': gray, 'RGB': np.dstack([gray] * 3)}[mode])


@pytest.mark.parametrize(
    ('mode', 'building', 'background'),
    [
        ('L', 255, 0),
        ('1', 1, 0),
        ('RGB', 255, 0),
        ('RGB', WHITE, BLACK),
        ('L', WHITE, BLACK),
        ('palette', 1, 0),
        ('palette', RED, BLACK),
        ('RGBA', RED, BLACK),
    ],
)
def test_masks_are_read_as_stated_however_they_are_stored(tmp_path, mode, building, background):
    write_mask(tmp_path / 'a.png', mode)
    labels = MaskValues(building, [background]).read(str(tmp_path / 'a.png'))
    assert labels.dtype == np.uint8
    np.testing.assert_array_equal(labels, houses())


def test_masks_in_jpeg_need_a_tolerance(tmp_path):
    path = tmp_path / 'a.jpg'
    save(path, np.uint8(255) * houses(), quality=60)
    with pytest.raises(UnreadableImageError, match=r'a\.jpg: unknown mask values .*known are \[255, 0\].*tolerance'):
        MaskValues(255, [0]).read(str(path))
    np.testing.assert_array_equal(MaskValues(255, [0], tolerance=110).read(str(path)), houses())


def test_a_tolerance_reaches_as_far_as_it_says(tmp_path):
    save(tmp_path / 'a.png', np.array([[0, 10, 245, 255]], np.uint8))
    np.testing.assert_array_equal(MaskValues(255, [0], tolerance=10).read(str(tmp_path / 'a.png')), [[0, 0, 1, 1]])
    with pytest.raises(UnreadableImageError, match=r'unknown mask values \[10, 245\] in 50\.0% of the pixels'):
        MaskValues(255, [0], tolerance=9).read(str(tmp_path / 'a.png'))


@pytest.mark.parametrize(
    ('array', 'values', 'reason'),
    [
        (np.uint8([[0, 1, 255, 254]]), MaskValues(255, [0]), r'values \[1, 254\] in 50\.0%.*known are \[255, 0\]'),
        (np.uint8([[RED, (1, 2, 3)]]), MaskValues(RED, [BLACK]), r'values \[\[1, 2, 3\]\].*\[\[255, 0, 0\], \[0, 0, 0'),
        (np.uint8([[RED, BLACK]]), MaskValues(255, [0]), r'is coloured.*building=\(R, G, B\)'),
        (np.uint16([[0, 255]]), MaskValues(255, [0]), 'must have 8 bits per channel.*I;16'),
        (np.uint8([range(256)]), MaskValues(255, [0]), r'\[1, 2, 3, 4, 5, 6, 7, 8\] and more in 99\.2%'),
    ],
)
def test_other_values_are_refused(tmp_path, array, values, reason):
    save(tmp_path / 'a.png', array)
    with pytest.raises(UnreadableImageError, match=reason):
        values.read(str(tmp_path / 'a.png'))


@pytest.mark.parametrize(
    ('arguments', 'reason'),
    [
        ((255, [255]), 'are the same'),
        ((255, [0], [0]), 'are the same'),
        ((255, [0], [], 128), 'are the same within the tolerance'),
        ((255, [(0, 0, 0)]), 'integers everywhere, or colours'),
        (((255, 0), [(0, 0)]), 'integers everywhere, or colours'),
        ((256, [0]), 'from 0 to 255'),
        ((255.0, [0]), None),
    ],
)
def test_stated_values_that_make_no_sense_are_refused(arguments, reason):
    with pytest.raises((ValueError, TypeError), match=reason):
        MaskValues(*arguments)


def test_a_set_of_other_values_is_refused_before_training(tmp_path):
    write_whu(tmp_path)
    with pytest.raises(ValueError, match=r'4 of 4 masks .*unknown mask values \[255\].*state what they mean'):
        dataset(tmp_path, 'train/image', 'train/label', building=1)


# ---------------------------------------------------------------------------------------------------------- bad files


def test_a_bad_mask_is_replaced_in_training_and_not_scored_in_evaluation(tmp_path, logged):
    write_whu(tmp_path, count=20)
    sets = [dataset(tmp_path, 'train/image', 'train/label', test_mode=mode, num_surveyed=2) for mode in (False, True)]
    save(tmp_path / 'train/label/3.tif', np.full((HEIGHT, WIDTH), 7, np.uint8))
    index = stems(sets[0]).index('3')
    assert not sets[0][index]['data_samples'].img_path.endswith('/3.tif')
    sample = sets[1][index]['data_samples']
    assert sample.unreadable
    assert (sample.gt_sem_seg.data == 255).all()
    assert sum('3.tif: unknown mask values [7]' in text for text in logged) == 2


def test_a_mask_of_another_size_is_named(tmp_path, logged):
    write_whu(tmp_path, count=20)
    one = dataset(tmp_path, 'train/image', 'train/label', test_mode=True)
    save(tmp_path / 'train/label/3.tif', np.zeros((HEIGHT, WIDTH - 1), np.uint8))
    assert one[stems(one).index('3')]['data_samples'].unreadable
    assert any(re.search(r'3\.tif: .*size of its image, \(40, 48\); got \(40, 47\)', text) for text in logged)


def test_images_without_mask_are_left_out_and_named(tmp_path, logged):
    write_whu(tmp_path, count=20)
    (tmp_path / 'train/label/3.tif').unlink()
    assert len(dataset(tmp_path, 'train/image', 'train/label')) == 19
    assert any(re.search(r'1 of 20 label maps do not exist: .*label/3\.\*', text) for text in logged)
    (tmp_path / 'train/label/4.tif').unlink()
    with pytest.raises(ValueError, match='2 of 20 label maps do not exist'):
        dataset(tmp_path, 'train/image', 'train/label')


def test_absent_folders_and_names_that_fit_nothing_are_named(tmp_path):
    write_whu(tmp_path)
    with pytest.raises(FileNotFoundError, match=r'No folder of label maps at .*gt.* from example\.org'):
        dataset(tmp_path, 'train/image', 'train/gt', source='example.org')
    with pytest.raises(FileNotFoundError, match=r'\.tiff.* is named mask_\{\} below .*train/label; data/README'):
        dataset(tmp_path, 'train/image', 'train/label', mask_name='mask_{}')
    with pytest.raises(ValueError, match='equally often'):
        dataset(tmp_path, 'train/image', 'train/label', mask_name='{}/{}')


def test_two_masks_of_one_name_are_refused(tmp_path):
    write_whu(tmp_path)
    save(tmp_path / 'train/label/2.png', np.zeros((HEIGHT, WIDTH), np.uint8))
    with pytest.raises(ValueError, match=r'label/2\.\w+ and .*label/2\.\w+ have the same name'):
        dataset(tmp_path, 'train/image', 'train/label')
    assert len(dataset(tmp_path, 'train/image', 'train/label', seg_map_suffix=['.tif'])) == 4


# ------------------------------------------------------------------------------------------------------------ polarity


def inverted_warnings(logged):
    return [text for text in logged if 'INVERTED' in text]


def city_blocks(seed=0):
    """A dense centre: courtyards inside of blocks that narrow streets divide; more than half is building."""
    mask = np.zeros((HEIGHT, WIDTH), bool)
    for top in range(0, HEIGHT, 20):
        for left in range(seed % 4, WIDTH, 16):
            mask[top + 1 : top + 19, left + 1 : left + 15] = True
            mask[top + 7 : top + 12, left + 5 : left + 10] = False
    return mask


@pytest.mark.parametrize('mask_of', [houses, city_blocks])
def test_the_building_share_is_reported_and_right_masks_are_not_warned_of(tmp_path, logged, mask_of):
    write_whu(tmp_path, mask_of, count=6)
    dataset(tmp_path, 'train/image', 'train/label')
    share = np.mean([mask_of(index) for index in range(6)])
    assert (share > 0.5) == (mask_of is city_blocks)
    assert f'buildings cover {share:.1%} of the pixels in 6 of 6 masks' in logged
    assert not inverted_warnings(logged)


@pytest.mark.parametrize('mask_of', [houses, city_blocks])
def test_inverted_masks_are_warned_of_with_the_remedy(tmp_path, logged, mask_of):
    write_whu(tmp_path, lambda seed: ~mask_of(seed), count=6)
    dataset(tmp_path, 'train/image', 'train/label')
    (warning,) = inverted_warnings(logged)
    assert 'takes the value 255 as building and [0] as background' in warning
    assert 'swap building and background' in warning
    logged.clear()
    dataset(tmp_path, 'train/image', 'train/label', building=0, background=[255])  # the remedy
    assert not inverted_warnings(logged)


def test_masks_that_are_nearly_all_building_are_warned_of(tmp_path, logged):
    write_whu(tmp_path, lambda seed: np.arange(HEIGHT * WIDTH).reshape(HEIGHT, WIDTH) % 10 > 0)
    dataset(tmp_path, 'train/image', 'train/label')
    assert '90.0%' in inverted_warnings(logged)[0]


def test_masks_without_any_building_are_refused_for_training_only(tmp_path, logged):
    write_whu(tmp_path, lambda seed: np.zeros((HEIGHT, WIDTH), bool))
    with pytest.raises(ValueError, match=r'No building in (\d+) of \1 masks.*Nothing can be learnt'):
        dataset(tmp_path, 'train/image', 'train/label')
    dataset(tmp_path, 'train/image', 'train/label', test_mode=True)
    assert any('No building in' in message for message in logged)


def test_ignored_pixels_do_not_count_in_the_share(tmp_path):
    mask = np.uint8(255) * houses()
    mask[:, 24:] = 127
    save(tmp_path / 'a.png', mask)
    survey = survey_masks({str(tmp_path / 'a.png'): str(tmp_path / 'a.png')}, MaskValues(255, [0], [127]))
    assert survey.building_share == pytest.approx(houses()[:, :24].mean())


def test_a_survey_is_spread_over_the_set_and_counts_what_spans(tmp_path):
    stripe = np.zeros((HEIGHT, WIDTH), np.uint8)
    stripe[:, 10] = 255  # building from top to bottom; background left and right of it too
    paths = []
    for index in range(11):
        paths.append(str(tmp_path / f'{index}.png'))
        if index in (0, 5, 10):
            save(tmp_path / f'{index}.png', stripe if index else np.uint8(255) * houses())
    survey = survey_masks(dict(zip(paths, paths, strict=True)), MaskValues(255, [0]), num_masks=3)
    assert (survey.num_masks, survey.unreadable) == (3, [])
    assert survey.building_spans == pytest.approx(2 / 3)
    assert survey.background_spans == 1
    assert not survey.looks_inverted


@pytest.mark.parametrize('along', ['rows', 'columns'])
def test_a_building_spans_in_either_direction(tmp_path, along):
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    mask[(10, slice(None)) if along == 'rows' else (slice(None), 10)] = 255
    save(tmp_path / 'a.png', mask)
    survey = survey_masks({str(tmp_path / 'a.png'): str(tmp_path / 'a.png')}, MaskValues(255, [0]))
    assert (survey.building_spans, survey.background_spans) == (1, 1)
