import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import rasterio
import rasterio.shutil

from projects.geodata import raster_sources
from projects.geodata.raster_files import UnreachableError, open_raster
from projects.geodata.remote_rasters import SourceChoice, to_local
from projects.geodata.vector_places import reproject_bounds

PLACE = rasterio.Affine(0.5, 0, 500_000, 0, -0.5, 5_000_000)
UTM = 'EPSG:32633'


class Files(BaseHTTPRequestHandler):
    """Serves the files of a folder with ranges; counts bytes, and can stop answering."""

    protocol_version = 'HTTP/1.1'

    def do_HEAD(self):
        self.answer(body=False)

    def do_GET(self):
        self.answer(body=True)

    def answer(self, body):
        server = self.server
        server.requests.append(self.path)
        if self.path in server.redirects:
            self.send_response(302)
            self.send_header('Location', server.redirects[self.path])
            self.send_header('Content-Length', '0')
            self.end_headers()
            return
        if server.budget is not None and server.sent > server.budget:
            self.close_connection = True
            self.connection.close()
            return
        path = server.folder / self.path.lstrip('/').partition('?')[0]
        if not path.is_file():
            self.send_error(404)
            return
        content, start = path.read_bytes(), 0
        total = len(content)
        wanted = self.headers.get('Range')
        if wanted:
            start, _, end = wanted.removeprefix('bytes=').partition('-')
            start = int(start)
            content = content[start : int(end) + 1 if end else None]
        self.send_response(206 if wanted else 200)
        self.send_header('Content-Length', str(len(content)))
        self.send_header('Accept-Ranges', 'bytes')
        self.send_header('ETag', f'"{path.stat().st_mtime_ns}"')
        if wanted:
            self.send_header('Content-Range', f'bytes {start}-{start + len(content) - 1}/{total}')
        self.end_headers()
        if body:
            server.sent += len(content)
            self.wfile.write(content)

    def log_message(self, *args):
        pass


@contextmanager
def serving(folder):
    server = ThreadingHTTPServer(('127.0.0.1', 0), Files)
    server.folder, server.sent, server.requests, server.budget, server.redirects = Path(folder), 0, [], None, {}
    server.url = f'http://127.0.0.1:{server.server_port}'
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()


@pytest.fixture
def server(tmp_path, monkeypatch):
    monkeypatch.setattr(raster_sources, '_hosts', set())
    monkeypatch.setitem(raster_sources.HTTP_OPTIONS, 'GDAL_HTTP_MAX_RETRY', 0)
    (tmp_path / 'served').mkdir()
    with serving(tmp_path / 'served') as server:
        yield server


def write_cog(path, side=2048):
    values = np.random.default_rng(0).integers(0, 255, (3, side, side), dtype=np.uint8)
    plain = path.with_name('plain.tif')
    profile = {'width': side, 'height': side, 'count': 3, 'dtype': 'uint8', 'crs': UTM, 'transform': PLACE}
    with rasterio.open(plain, 'w', driver='GTiff', **profile) as out:
        out.write(values)
    rasterio.shutil.copy(plain, path, driver='COG', BLOCKSIZE=256, OVERVIEWS='NONE')
    plain.unlink()
    return values


def test_of_an_image_on_a_server_the_windows_that_are_read_are_fetched_alone(server, tmp_path, monkeypatch):
    monkeypatch.setattr('projects.geodata.raster_data.sample_windows', lambda width, height: [(0, 0, 64, 64)])
    values = write_cog(server.folder / 'city.tif')
    size = (server.folder / 'city.tif').stat().st_size
    path = to_local(f'{server.url}/city.tif', tmp_path / 'out', SourceChoice())
    with open_raster(path, as_stored=True) as raster:
        assert raster.is_remote
        assert (raster.crs, raster.size_px) == (UTM, (2048, 2048))
        opened = server.sent
        rgb, valid = raster.read(300, 600, 200, 150)
        np.testing.assert_array_equal(rgb, values[:, 600:750, 300:500].transpose(1, 2, 0))
        assert valid.all()
    tile = 3 * 256 * 256  # noise is not compressed
    assert server.sent - opened < 3 * 2 * tile  # of the four tiles around, and what curl reads ahead
    assert opened < size / 4


def test_a_box_in_degrees_is_the_window_of_its_pixels(server, tmp_path):
    values = write_cog(server.folder / 'city.tif')
    box = (500_000 + 100.2, 5_000_000 - 80.3, 500_000 + 150.1, 5_000_000 - 50.2)
    degrees = reproject_bounds(box, rasterio.crs.CRS.from_string(UTM).to_wkt(), 'EPSG:4326')
    size = (server.folder / 'city.tif').stat().st_size
    for given in (f'{server.url}/city.tif', str(server.folder / 'city.tif')):
        server.sent = 0
        path = to_local(given, tmp_path / 'out', SourceChoice(bbox_deg=degrees))
        with open_raster(path, as_stored=True) as raster:
            west, south, east, north = raster.bounds
            assert west <= box[0]
            assert south <= box[1]
            assert east >= box[2]
            assert north >= box[3]
            assert raster.size_px[0] < 100 + 20
            column, row = (~PLACE) @ (west, north)
            rgb, _ = raster.read(0, 0, *raster.size_px)
            width, height = raster.size_px
            expected = values[:, int(row) : int(row) + height, int(column) : int(column) + width]
            np.testing.assert_array_equal(rgb, expected.transpose(1, 2, 0))
        assert server.sent < size / 4
    with pytest.raises(ValueError, match=r'lies at 14\.9.*outside of --bbox'):
        to_local(given, tmp_path / 'out', SourceChoice(bbox_deg=(10, 10, 11, 11)))


def test_a_file_that_changes_on_the_server_is_another_and_one_that_does_not_stays(server, tmp_path):
    write_cog(server.folder / 'city.tif', 256)
    path = to_local(f'{server.url}/city.tif', tmp_path / 'out', SourceChoice())
    before = path.stat().st_mtime_ns
    assert to_local(f'{server.url}/city.tif', tmp_path / 'out', SourceChoice()).stat().st_mtime_ns == before
    write_cog(server.folder / 'city.tif', 256)
    assert to_local(f'{server.url}/city.tif', tmp_path / 'out', SourceChoice()).stat().st_mtime_ns > before


def item(folder, assets, name='item.json'):
    content = {'type': 'Feature', 'stac_version': '1.0.0', 'id': 'a', 'geometry': None, 'links': [], 'properties': {}}
    (folder / name).write_text(json.dumps(content | {'assets': assets}))


COG = 'image/tiff; application=geotiff; profile=cloud-optimized'


def test_the_visual_asset_of_an_item_is_read_or_the_one_that_is_named(server, tmp_path):
    write_cog(server.folder / 'city.tif', 256)
    write_cog(server.folder / 'red.tif', 512)
    assets = {
        'thumbnail': {'href': 'city.jpg', 'type': 'image/jpeg', 'roles': ['thumbnail']},
        'red': {'href': f'{server.url}/red.tif', 'type': COG},
        'rgb': {'href': './city.tif', 'type': COG, 'roles': ['visual']},
        'metadata': {'href': 'a.xml'},
    }
    item(server.folder, assets)
    for given in (f'{server.url}/item.json?token=1', str(server.folder / 'item.json')):
        raster_sources.allow_host(server.url)
        for choice, side in ((SourceChoice(), 256), (SourceChoice(asset='red'), 512)):
            with open_raster(to_local(given, tmp_path / 'out', choice), as_stored=True) as raster:
                assert raster.size_px == (side, side)
        with pytest.raises(
            ValueError, match=r"no asset 'nir'; choose one with --asset: thumbnail \(image/jpeg\), red"
        ) as e:
            to_local(given, tmp_path / 'out', SourceChoice(asset='nir'))
        assert '\n' not in str(e.value)
    item(server.folder, {name: assets[name] for name in ('red', 'metadata')})
    assert to_local(f'{server.url}/item.json', tmp_path / 'out', SourceChoice()).name == 'red.vrt'
    item(server.folder, {'red': assets['red'], 'nir': assets['red']})
    with pytest.raises(ValueError, match=r"2 images and none that is 'visual'; choose one"):
        to_local(f'{server.url}/item.json', tmp_path / 'out', SourceChoice())
    (server.folder / 'other.json').write_text('[]')
    with pytest.raises(ValueError, match='is no STAC item'):
        to_local(f'{server.url}/other.json', tmp_path / 'out', SourceChoice())


@pytest.mark.parametrize(
    ('href', 'message'),
    [
        ('/etc/passwd', 'expected https://, or a file in the folder of the item'),
        ('../secret.tif', 'in the folder of the item'),
        ('file:///etc/passwd', 'expected https://'),
        ('/vsizip/a.zip', 'expected https://'),
        ('s3://bucket/a.tif', 'expected https://'),
        ('http://169.254.169.254/latest', r'reads from another host, 169\.254\.169\.254, .*--hosts 169'),
    ],
)
def test_an_item_from_outside_reads_no_local_files_and_no_other_hosts(server, tmp_path, href, message):
    write_cog(tmp_path / 'secret.tif', 256)
    item(server.folder, {'visual': {'href': href, 'type': COG}})
    for given in (f'{server.url}/item.json', str(server.folder / 'item.json')):
        if given.startswith('http') and href in (
            '/etc/passwd',
            '../secret.tif',
            '/vsizip/a.zip',
        ):  # an address of the server
            with pytest.raises(FileNotFoundError, match='404'):
                to_local(given, tmp_path / 'out', SourceChoice())
            continue
        with pytest.raises(ValueError, match=message) as error:
            to_local(given, tmp_path / 'out', SourceChoice())
        assert '\n' not in str(error.value)
    assert not (tmp_path / 'out').exists()


def test_redirections_to_other_hosts_and_to_files_are_not_followed_for_items(server, tmp_path):
    for place in ('http://localhost:1/a.json', 'file:///etc/passwd'):
        server.redirects['/item.json'] = place
        with pytest.raises((ValueError, OSError), match=r'another host|cannot be read|302|not allowed'):
            to_local(f'{server.url}/item.json', tmp_path / 'out', SourceChoice())
    server.redirects['/a.tif'] = 'file:///etc/hostname'
    with pytest.raises((ValueError, OSError), match=r'another host|302|cannot be read'):
        to_local(f'{server.url}/a.tif', tmp_path / 'out', SourceChoice())


def test_servers_that_fail_are_told_in_one_line(server, tmp_path, monkeypatch):
    monkeypatch.setattr(raster_sources, 'TIMEOUT_S', 1)
    for given in (f'{server.url}/gone.tif', f'{server.url}/gone.json'):
        with pytest.raises(FileNotFoundError, match='404') as error:
            to_local(given, tmp_path / 'out', SourceChoice())
        assert '\n' not in str(error.value)
    for name in ('a.tif', 'a.json'):
        with pytest.raises(UnreachableError) as error:
            to_local(f'http://127.0.0.1:1/{name}', tmp_path / 'out', SourceChoice())
        assert '\n' not in str(error.value)
    (server.folder / 'a.tif').write_text('<VRTDataset rasterXSize="1" rasterYSize="1"/>')
    with pytest.raises(ValueError, match='no GeoTIFF and no JPEG 2000'):  # what refers to others is no image there
        to_local(f'{server.url}/a.tif', tmp_path / 'out', SourceChoice())


def test_a_server_that_dies_is_no_image_without_data(server, tmp_path, monkeypatch):
    monkeypatch.setattr('projects.geodata.raster_data.sample_windows', lambda width, height: [(0, 0, 64, 64)])
    write_cog(server.folder / 'city.tif')
    path = to_local(f'{server.url}/city.tif', tmp_path / 'out', SourceChoice())
    with open_raster(path, as_stored=True) as raster:
        raster.read(0, 0, 10, 10)
        server.budget = 0
        with pytest.raises(UnreachableError, match='stopped answering'):
            raster.read(1500, 1500, 100, 100)
    with pytest.raises(UnreachableError) as error, open_raster(path, as_stored=True):
        pass
    assert '\n' not in str(error.value)


def vrt(folder, source, attributes='relativeToVRT="1"', band='', extra='', name='a.vrt'):
    text = (
        f'<VRTDataset rasterXSize="256" rasterYSize="256"><SRS>{UTM}</SRS><GeoTransform>500000,1,0,5000000,0,-1'
        f'</GeoTransform><VRTRasterBand dataType="Byte" band="1" {band}>{extra}<SimpleSource>'
        f'<SourceFilename {attributes}>{source}</SourceFilename><SourceBand>1</SourceBand></SimpleSource>'
        '</VRTRasterBand></VRTDataset>'
    )
    (folder / name).write_text(text)
    return folder / name


def test_mosaics_are_read_from_files_beside_them_wherever_they_are_called_from(tmp_path, monkeypatch):
    (tmp_path / 'tiles').mkdir()
    values = write_cog(tmp_path / 'tiles/a.tif', 256)
    monkeypatch.chdir('/')
    vrt(tmp_path, 'tiles/a.tif', name='inner.vrt')
    for path in (vrt(tmp_path, 'tiles/a.tif'), vrt(tmp_path, 'inner.vrt', name='outer.vrt')):
        with open_raster(path, as_stored=True) as raster:
            assert not raster.is_remote
            np.testing.assert_array_equal(raster.read(0, 0, 256, 256)[0][..., 0], values[0])
    with pytest.raises(FileNotFoundError, match=r'a\.vrt is made of files that do not exist: tiles/gone\.tif') as error:
        open_raster(vrt(tmp_path, 'tiles/gone.tif')).__enter__()
    assert '\n' not in str(error.value)


RAW = '<ImageOffset>0</ImageOffset><SourceFilename relativeToVRT="0">/etc/passwd</SourceFilename>'
PYTHON = '<PixelFunctionType>f</PixelFunctionType><PixelFunctionLanguage>Python</PixelFunctionLanguage>'


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        ({'source': '/vsicurl/http://example.org/a.tif'}, r'another host, example\.org'),
        ({'source': 'https://example.org/a.tif', 'attributes': ''}, r'another host, example\.org'),
        ({'source': '/vsizip//etc/a.zip'}, 'is refused'),
        ({'source': 'vrt:///etc/passwd'}, 'is refused'),
        ({'source': 'WMS:http://example.org', 'attributes': ''}, 'is refused'),
        ({'source': '&lt;VRTDataset/&gt;', 'attributes': ''}, 'is refused'),
        ({'source': 'service.xml'}, r'service\.xml is no image, but describes where one is'),
        ({'source': 'a.vrt'}, 'does one name itself'),
        ({'source': 'b.tif', 'band': 'subClass="VRTRawRasterBand"', 'extra': RAW}, 'lies outside of its folder'),
        ({'source': 'b.tif', 'band': 'subClass="VRTDerivedRasterBand"', 'extra': PYTHON}, 'would run Python'),
        ({'source': '<!ENTITY a "b">'}, 'declarations'),
    ],
)
def test_mosaics_from_outside_reach_nothing_else(tmp_path, options, message):
    write_cog(tmp_path / 'b.tif', 256)
    (tmp_path / 'service.xml').write_text('<GDAL_WMS><Service name="TMS"/></GDAL_WMS>')
    with pytest.raises(ValueError, match=message) as error, open_raster(vrt(tmp_path, **options), as_stored=True):
        pass
    assert '\n' not in str(error.value)
    (tmp_path / 'service.tif').write_text('<GDAL_WMS><Service name="TMS"/></GDAL_WMS>')
    with pytest.raises(ValueError, match='describes where one is'), open_raster(tmp_path / 'service.tif'):
        pass


def test_a_virtual_data_set_on_a_server_names_nothing_here(server, tmp_path):
    write_cog(tmp_path / 'secret.tif', 256)
    rasterio.shutil.copy(tmp_path / 'secret.tif', server.folder / 'evil.vrt', driver='VRT')
    text = (server.folder / 'evil.vrt').read_text()
    assert str(tmp_path / 'secret.tif') in text
    here = tmp_path / 'here.vrt'
    here.write_text(text.replace(str(tmp_path / 'secret.tif'), f'/vsicurl/{server.url}/evil.vrt'))
    raster_sources.allow_host(server.url)
    with pytest.raises(ValueError, match='is no GeoTIFF and no JPEG 2000'), open_raster(here):
        pass


def test_images_of_one_name_stay_two(tmp_path):
    paths = []
    for side in (256, 512):
        (tmp_path / str(side)).mkdir()
        write_cog(tmp_path / str(side) / 'visual.tif', side)
        item(tmp_path / str(side), {'visual': {'href': 'visual.tif', 'type': COG}})
        paths.append(str(tmp_path / str(side) / 'item.json'))
    for _ in range(2):  # the same names again
        first = to_local(paths[0], tmp_path / 'out', SourceChoice())
        second = to_local(paths[1], tmp_path / 'out', SourceChoice(), {first})
        sizes = []
        for path in (first, second):
            with open_raster(path, as_stored=True) as raster:
                sizes.append(raster.size_px)
        assert sizes == [(256, 256), (512, 512)]
    assert len(list((tmp_path / 'out').glob('*.vrt'))) == 2


@pytest.mark.parametrize(
    'asset', [{'href': None}, {'href': 'a.tif', 'roles': 7}, {'href': 'a.tif', 'type': 7}, 'a.tif']
)
def test_assets_of_wrong_types_are_told(tmp_path, asset):
    item(tmp_path, {'visual': asset})
    with pytest.raises(ValueError, match='is no STAC item'):
        to_local(str(tmp_path / 'item.json'), tmp_path / 'out', SourceChoice())


def test_an_address_that_is_none_is_told(tmp_path):
    item(tmp_path, {'visual': {'href': 'http://[::1', 'type': COG}})
    for given in (str(tmp_path / 'item.json'), 'http://[::1/a.tif'):
        with pytest.raises(ValueError, match=r'http://\[::1.* is no address'):
            to_local(given, tmp_path / 'out', SourceChoice())
    with pytest.raises(FileNotFoundError, match=r'the STAC item .*nothing\.json does not exist'):
        to_local(str(tmp_path / 'nothing.json'), tmp_path / 'out', SourceChoice())


@pytest.mark.parametrize('before', [' ' * 600, 'x', '\ufeff\ufeff', '\n' * 70_000])
@pytest.mark.parametrize('kind', ['VRT', 'WMTS'])
def test_what_stands_before_a_description_does_not_hide_it(tmp_path, before, kind):
    write_cog(tmp_path / 'a.tif', 256)
    rasterio.shutil.copy(tmp_path / 'a.tif', tmp_path / 'a.vrt', driver='VRT')
    if kind == 'VRT':
        text = (tmp_path / 'a.vrt').read_text().replace('a.tif', '/vsizip/a.zip/a.tif')
    else:
        text = '<GDAL_WMTS><GetCapabilitiesUrl>http://127.0.0.1:1/</GetCapabilitiesUrl></GDAL_WMTS>'
    (tmp_path / 'a.vrt').write_text(before + text, encoding='utf-8')
    with pytest.raises(ValueError, match=r'is refused|describes where one is|no VRT that can be read'):
        raster_sources.check_sources(tmp_path / 'a.vrt')
