"""Images of more than 8 bits are the same picture in training, in prediction, and as a raster."""

import cv2
import numpy as np
import pytest
import rasterio
from PIL import Image

from projects.building_extraction.datasets.loading import LoadAerialImage
from projects.geodata.raster_files import open_raster
from projects.pixels.bit_depth import image_in_eight_bits
from projects.pixels.decoding import UnreadableImageError, read_image
from projects.training.datasets import LoadImage

SIDE = 48
GRAY = np.random.default_rng(0).integers(1280, 3201, (SIDE, SIDE))  # 12 bits in 16
COLORS = np.random.default_rng(1).integers(0, 65536, (SIDE, SIDE, 3))


def write_tiff(path, bands, **profile):
    profile |= {'driver': 'GTiff', 'width': SIDE, 'height': SIDE, 'count': len(bands), 'dtype': bands.dtype}
    with rasterio.open(path, 'w', **profile) as out:
        out.write(bands)


def write_pgm(path):
    path.write_bytes(b'P5\n# 12 bits\n%d %d\n4095\n' % (SIDE, SIDE) + GRAY.astype('>u2').tobytes())


FILES = {
    'grey12.png': (lambda path: Image.fromarray(GRAY.astype(np.uint16)).save(path), GRAY),
    'grey12.pgm': (write_pgm, GRAY),
    'colours16.png': (lambda path: cv2.imwrite(str(path), COLORS[..., ::-1].astype(np.uint16)), COLORS),
    'uint16.tif': (lambda path: write_tiff(path, COLORS.transpose(2, 0, 1).astype(np.uint16)), COLORS),
    'four.tif': (lambda path: write_tiff(path, COLORS[..., [0, 1, 2, 0]].transpose(2, 0, 1).astype('u2')), COLORS),
    'int16.tif': (lambda path: write_tiff(path, (GRAY - 2000).astype(np.int16)[None]), GRAY),
    'float32.tif': (lambda path: write_tiff(path, (GRAY / 4095).astype(np.float32)[None]), GRAY),
    'floats32.tif': (lambda path: write_tiff(path, (COLORS / 65535).transpose(2, 0, 1).astype('f4')), COLORS),
}


@pytest.mark.filterwarnings('ignore::rasterio.errors.NotGeoreferencedWarning')
@pytest.mark.parametrize('name', FILES)
def test_all_readers_see_the_same_picture(tmp_path, name, capfd):
    write, pixels = FILES[name]
    path = tmp_path / name
    write(path)
    expected = np.broadcast_to(image_in_eight_bits(pixels.reshape(SIDE, SIDE, -1)), (SIDE, SIDE, 3)).astype(int)
    assert expected.mean() == pytest.approx(128, abs=4)
    for loader in (LoadImage, LoadAerialImage):
        seen = loader()({'img_path': str(path)})
        assert seen['ori_shape'] == (SIDE, SIDE)
        np.testing.assert_allclose(seen['img'][..., ::-1], expected, atol=1)
    np.testing.assert_allclose(read_image(path), expected, atol=1)
    with open_raster(path, as_stored=True) as raster:
        np.testing.assert_allclose(raster.read(0, 0, SIDE, SIDE)[0], expected, atol=1)
        assert any('scaled: percentiles' in note for note in raster.notes)
    assert 'OpenCV' not in capfd.readouterr().err


def test_the_rule_of_deep_images_is_said_once(tmp_path, logged):
    for name in ('1.png', '2.png'):
        FILES['grey12.png'][0](tmp_path / name)
        LoadImage()({'img_path': str(tmp_path / name)})
    assert len([message for message in logged if 'more than 8 bits' in message]) <= 1  # or by a test before this one


def test_a_broken_deep_image_is_unreadable(tmp_path):
    FILES['uint16.tif'][0](tmp_path / 'a.tif')
    (tmp_path / 'a.tif').write_bytes((tmp_path / 'a.tif').read_bytes()[:400])
    for loader in (LoadImage, LoadAerialImage):
        with pytest.raises(UnreadableImageError, match=r'a\.tif'):
            loader()({'img_path': str(tmp_path / 'a.tif')})
