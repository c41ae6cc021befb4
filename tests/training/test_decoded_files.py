"""Files that are decoded once."""

import cv2
import numpy as np
import pytest

from projects.pixels.decoding import UnreadableImageError
from projects.training.datasets import LoadImage
from projects.training.decoded_files import DecodedFiles
from projects.training.segmentation_datasets import LoadSegmentation


def test_arrays_stay_as_they_were_decoded():
    files, array = DecodedFiles(1), np.arange(6, dtype=np.uint8)
    files.put('a.png', array)
    array[:] = 0
    files.get('a.png')[:] = 9
    assert files.get('a.png').tolist() == [0, 1, 2, 3, 4, 5]
    assert files.get('b.png') is None


def test_the_first_arrays_keep_the_room_that_there_is():
    files = DecodedFiles(10 / 2**20)
    for name, size in (('a', 6), ('b', 5), ('c', 4), ('a', 6)):
        files.put(name, np.ones(size, np.uint8))
    assert [files.get(name) is not None for name in 'abc'] == [True, False, True]


@pytest.mark.parametrize(('keep_mib', 'kept'), [(1, True), (0, False)])
def test_an_image_is_decoded_once_if_it_is_kept(tmp_path, keep_mib, kept):
    path, pixels = tmp_path / 'a.png', np.random.default_rng(0).integers(0, 256, (4, 6, 3), np.uint8)
    cv2.imwrite(str(path), pixels)
    load = LoadImage(keep_mib=keep_mib)
    first = load.transform({'img_path': str(path)})
    path.unlink()
    if not kept:
        with pytest.raises(UnreadableImageError):
            load.transform({'img_path': str(path)})
        return
    second = load.transform({'img_path': str(path), 'sample_idx': 3})
    assert second.pop('sample_idx') == 3
    assert np.array_equal(second.pop('img'), pixels)
    assert np.array_equal(first.pop('img'), pixels)
    assert first == second == {'img_path': str(path), 'img_shape': (4, 6), 'ori_shape': (4, 6)}


def test_a_label_map_is_decoded_once_if_it_is_kept(tmp_path):
    path = tmp_path / 'labels.png'
    cv2.imwrite(str(path), np.array([[0, 1], [2, 3]], np.uint8))
    load = LoadSegmentation(keep_mib=1)

    def labels():
        lookup = np.arange(256, dtype=np.uint8)
        sample = {'seg_map_path': str(path), 'ori_shape': (2, 2), 'label_lookup': lookup, 'seg_fields': []}
        return load.transform(sample)['gt_seg_map']

    labels()[:] = 7
    path.unlink()
    assert labels().tolist() == [[0, 1], [2, 3]]
