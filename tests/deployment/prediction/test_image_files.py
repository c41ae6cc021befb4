import numpy as np
import pytest
from mmcv.transforms import LoadImageFromFile
from PIL import Image

from projects.deployment.prediction.image_files import IMAGE, RASTER, VIDEO, find_inputs, kind_of
from projects.pixels.decoding import UnreadableImageError, read_image


@pytest.fixture
def colors():
    return np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)


def touch(folder, *names):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b'')


def names(files):
    return [file.name for file in files]


def test_folders_are_searched_to_the_bottom_in_fixed_order(tmp_path):
    touch(
        tmp_path, 'b.png', 'a/2.JPG', 'a/1.jpg', 'a/deep/er/3.webp', 'notes.txt', '.hidden/4.png', '.5.png', 'film.mp4'
    )
    files = find_inputs([tmp_path])
    assert names(files) == ['a/1', 'a/2', 'a/deep/er/3', 'b', 'film']
    assert [file.kind for file in files] == [IMAGE] * 4 + [VIDEO]
    assert files[1].path == tmp_path / 'a' / '2.JPG'
    assert files[1].file_name == 'a/2.JPG'


def test_a_name_that_is_another_file_s_keeps_its_suffix(tmp_path):
    for name in ('x.jpg', 'x.png', 'x.png.jpg', 'y.png'):
        (tmp_path / name).touch()
    assert [file.name for file in find_inputs([tmp_path])] == ['x.jpg', 'x.png', 'x.png.jpg', 'y']


def test_equal_names_in_different_folders_stay_apart(tmp_path):
    touch(tmp_path, 'a/1.png', 'b/1.png', 'b/1.jpg')
    assert names(find_inputs([tmp_path / 'a', tmp_path / 'b'])) == ['a/1', 'b/1.jpg', 'b/1.png']
    assert names(find_inputs([tmp_path / 'a' / '1.png', tmp_path / 'b' / '1.png'])) == ['a/1', 'b/1']


def test_a_file_that_is_given_twice_is_predicted_once(tmp_path):
    touch(tmp_path, 'a/1.png', 'a/2.png')
    assert names(find_inputs([tmp_path / 'a', tmp_path / 'a' / '1.png', str(tmp_path / 'a' / '*.png')])) == ['1', '2']


def test_globs_reach_into_folders(tmp_path):
    touch(tmp_path, 'x/1.png', 'y/z/2.png', 'y/3.jpg', 'strange[1].png', 'strange1.png')
    assert names(find_inputs([str(tmp_path / '**/*.png')])) == ['strange1', 'strange[1]', 'x/1', 'y/z/2']
    assert names(find_inputs([str(tmp_path / 'strange[1].png')])) == ['strange[1]']


def test_results_are_no_inputs(tmp_path):
    touch(tmp_path, '1.png', 'out/overlays/1.png')
    assert names(find_inputs([tmp_path], tmp_path / 'out')) == ['1']
    assert names(find_inputs([str(tmp_path / '**/*.png')], tmp_path / 'out')) == ['1']


@pytest.mark.parametrize(
    ('given', 'error', 'words'),
    [
        ('absent.png', FileNotFoundError, 'no such file'),
        ('empty', ValueError, r'nothing to predict.*\.jpg'),
        ('empty/notes.txt', ValueError, r'cannot predict.*notes.txt.*\.jpg'),
        ('*.tga', FileNotFoundError, 'matches 0 files'),
    ],
)
def test_what_cannot_be_predicted_is_refused(tmp_path, given, error, words):
    touch(tmp_path, 'empty/notes.txt')
    with pytest.raises(error, match=words):
        find_inputs([str(tmp_path / given)])


def test_all_absent_inputs_are_named_at_once(tmp_path):
    touch(tmp_path, 'there.png')
    given = [str(tmp_path / name) for name in ('a.png', 'there.png', 'b', '*.png')]
    with pytest.raises(FileNotFoundError, match=r'a\.png, .*/b; nothing was begun.* leave out these 2 of the 4 inputs'):
        find_inputs(given)


def test_a_tiff_is_a_raster_if_it_says_where_it_lies(tmp_path, colors):
    picture = Image.fromarray(colors)
    picture.save(tmp_path / 'plain.tif')
    picture.save(tmp_path / 'placed.tif', tiffinfo={33550: (1.0, 1.0, 0.0), 33922: (0.0,) * 6})
    picture.save(tmp_path / 'beside.tif')
    touch(tmp_path, 'beside.tfw', 'mosaic.vrt')
    kinds = {name: kind_of(tmp_path / name) for name in ('plain.tif', 'placed.tif', 'beside.tif', 'mosaic.vrt')}
    assert kinds == {'plain.tif': IMAGE, 'placed.tif': RASTER, 'beside.tif': RASTER, 'mosaic.vrt': RASTER}


def test_a_large_tiff_is_read_in_windows(tmp_path, colors, monkeypatch):
    monkeypatch.setattr('projects.deployment.prediction.image_files.MAX_IMAGE_PIXELS', 2399)
    Image.fromarray(colors).save(tmp_path / 'large.tif')
    assert kind_of(tmp_path / 'large.tif') == RASTER


def test_images_of_any_kind_become_rgb(tmp_path, colors):
    gray = colors[..., 0]
    Image.fromarray(colors).save(tmp_path / 'rgb.png')
    Image.fromarray(np.dstack([colors, gray // 2])).save(tmp_path / 'alpha.png')
    Image.fromarray(gray).save(tmp_path / 'grey.png')
    palette = Image.fromarray(gray // 64)
    palette.putpalette([10, 20, 30, 40, 50, 60, 70, 80, 90, 100, 110, 120])
    palette.save(tmp_path / 'palette.png')
    Image.fromarray(np.full((40, 60, 4), (0, 255, 255, 0), np.uint8), 'CMYK').save(tmp_path / 'cmyk.jpg')
    for name in ('rgb', 'alpha'):
        np.testing.assert_array_equal(read_image(tmp_path / f'{name}.png'), colors)
    np.testing.assert_array_equal(read_image(tmp_path / 'grey.png'), np.dstack([gray] * 3))
    expected = np.array([[10, 20, 30], [40, 50, 60], [70, 80, 90], [100, 110, 120]])[gray // 64]
    np.testing.assert_array_equal(read_image(tmp_path / 'palette.png'), expected)
    red, green, blue = read_image(tmp_path / 'cmyk.jpg').reshape(-1, 3).mean(axis=0)
    assert red > 200
    assert max(green, blue) < 60


def test_files_beside_an_image_that_place_it_make_it_a_raster(tmp_path):
    world = '0.5\n0\n0\n-0.5\n500000\n5000000\n'
    for image, beside, text in (
        ('a.png', 'a.pgw', world),
        ('b.jpg', 'b.jgw', world),
        ('c.jpeg', 'c.JGW', world),
        ('d.png', 'd.pngw', world),
        ('e.bmp', 'e.wld', world),
        ('f.png', 'f.png.aux.xml', '<PAMDataset><SRS>EPSG:32633</SRS></PAMDataset>'),
        ('g.tif', 'g.tif.aux.xml', '<PAMDataset><GCPList></GCPList></PAMDataset>'),
    ):
        Image.new('RGB', (8, 8)).save(tmp_path / image)
        assert kind_of(tmp_path / image) == IMAGE, image
        (tmp_path / beside).write_text(text)
        assert kind_of(tmp_path / image) == RASTER, image
    Image.new('RGB', (8, 8)).save(tmp_path / 'h.png')
    (tmp_path / 'h.png.aux.xml').write_text('<PAMDataset><PAMRasterBand><Metadata/></PAMRasterBand></PAMDataset>')
    assert kind_of(tmp_path / 'h.png') == IMAGE


def test_images_are_turned_upright_as_in_training(tmp_path, colors):
    exif = Image.Exif()
    exif[274] = 6  # to be turned by 90 degrees clockwise
    Image.fromarray(colors).save(tmp_path / 'turned.png', exif=exif)
    image = read_image(tmp_path / 'turned.png')
    np.testing.assert_array_equal(image, np.rot90(colors, -1))
    trained_on = LoadImageFromFile()({'img_path': str(tmp_path / 'turned.png')})['img']
    np.testing.assert_array_equal(image, trained_on[..., ::-1])


@pytest.mark.parametrize('suffix', ['.jpg', '.png', '.tif', '.bmp', '.webp'])
@pytest.mark.parametrize('share', [0, 0.1, 0.6])
def test_truncated_images_are_refused(tmp_path, colors, suffix, share):
    path = tmp_path / f'image{suffix}'
    Image.fromarray(colors).save(path)
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    with pytest.raises(UnreadableImageError, match='image'):
        read_image(path)
