import hashlib
import json
import re
import time
from importlib.metadata import version
from importlib.resources import files

import numpy as np
import pytest
import shapely
from PIL import Image

from projects.reporting.map_shapes import SCORES, Ranges, Shapes
from projects.reporting.maps import (
    MAX_PICTURE_PX,
    MapView,
    Picture,
    Place,
    level_for,
    map_assets,
    write_map_page,
)
from tests.browser import MISSING, Browser, find_browser

LEAFLET = {
    'leaflet.js': 'db49d009c841f5ca34a888c96511ae936fd9f5533e90d8b2c4d57596f4e5641a',
    'leaflet.css': 'a7837102824184820dfa198d1ebcd109ff6d0ff9a2672a074b9a1b4d147d04c6',
}  # of dist/ in the npm package leaflet 1.9.4
EVIL = '</script><script>window.evil = 1</script><img src=x onerror="window.evil = 1">'
FACTS = {'model': EVIL, 'command': "tools/predict.py 'a & b.tif'"}


def test_leaflet_is_what_was_published():
    assert version('django-js-lib-leaflet').startswith('1.9.4.')
    for name, digest in LEAFLET.items():
        content = files('js_lib_leaflet').joinpath('static', 'js_lib_leaflet', name).read_bytes()
        assert hashlib.sha256(content).hexdigest() == digest
    assert 'BSD 2-Clause' in map_assets()['licence']


def view_of(title, size_px=(1200, 800)):
    """An image with a corner without data, probabilities, and three buildings."""
    width, height = size_px
    rgba = np.full((height, width, 4), 255, np.uint8)
    rgba[..., :3] = 90, 120, 90
    rgba[:100, :200] = 0
    shares = np.zeros((height, width), np.float32)
    shares[300:400, 600:800] = 0.75
    polygons = np.array(
        [shapely.box(600, 300, 800, 400), shapely.box(100, 500, 200, 650), shapely.box(1000, 100, 1100, 200)],
        dtype=object,
    )
    scores = np.array([0.75, 0.95, 0.4])
    heights = Ranges('height class', (12.0,), ('low-rise', 'tall'), ('#0072B2', '#CC79A7'))
    colorings = (SCORES.coloring(scores), heights.coloring([5.0, 50.0, np.nan]))
    columns = {'score': scores, 'height_m': [5.0, 50.0, np.nan], 'name': [EVIL, 'b', None]}
    longitudes, latitudes = np.meshgrid(np.linspace(15, 15.012, 3), np.linspace(45, 44.992, 3))
    place = Place('EPSG:32633', (0.5, 0, 5e5, 0, -0.5, 5e6), np.stack([longitudes, latitudes], -1), False, 0.5)
    pictures = [Picture('image', rgba), Picture.of_shares('probability', shares, rgba[..., 3] > 0, '#E69F00')]
    return MapView(title, size_px, pictures, [Shapes('buildings', polygons, columns, colorings, scores)], place, [EVIL])


def content_of(path):
    """What a page's map is made from."""
    found = re.search(r'<script type="application/json">(.*?)</script>', path.read_text(), re.DOTALL)
    return json.loads(found[1])


def test_shares_become_opacity_in_steps_and_labels_their_colours():
    shares = np.array([[0, 0.5, 1.0, np.nan]], np.float32)
    picture = Picture.of_shares('p', shares, np.array([[True, True, False, True]]), '#102030')
    assert picture.rgba[0, :, :3].tolist() == [[16, 32, 48]] * 4
    assert picture.rgba[0, :, 3].tolist() == [0, 127, 0, 0]
    labels = np.array([[0, 2, 2, 1, 255]], np.uint8)
    valid = np.array([[True, True, True, False, True]])
    picture = Picture.of_labels('c', labels, valid, {'ground': None, 'road': '#010203', 'roof': '#040506'})
    assert picture.rgba[0].tolist() == [[0, 0, 0, 0], [4, 5, 6, 255], [4, 5, 6, 255], [0, 0, 0, 0], [0, 0, 0, 0]]
    assert [(key.label, key.count) for key in picture.keys] == [('roof', '66.7%'), ('ground', '33.3%')]
    assert Picture.of_labels('c', labels, valid & False, {'ground': None}).keys == []


def test_a_picture_has_no_more_pixels_than_a_page_can_hold():
    assert level_for((4096, 4096)) == 0
    assert level_for((30_000, 30_000)) == 3
    assert level_for((50_000, 50_000)) == 4
    for size in ((4473, 4472), (1, 10**9)):
        level = level_for(size)
        assert np.prod([-(-side // 2**level) for side in size]) <= MAX_PICTURE_PX
        assert not level or np.prod([-(-side // 2 ** (level - 1)) for side in size]) > MAX_PICTURE_PX


def test_a_page_stays_below_its_size_and_says_what_it_lacks(tmp_path):
    rgba = np.random.default_rng(0).integers(0, 255, (1500, 1500, 4)).astype(np.uint8)
    rgba[..., 3] = 255
    count = 5000
    corners = np.random.default_rng(1).uniform(0, 1400, (count, 2))
    polygons = np.array([shapely.box(x, y, x + 9, y + 9) for x, y in corners], dtype=object)
    scores = np.linspace(0, 1, count)
    shapes = Shapes('roofs', polygons, {'score': scores}, (SCORES.coloring(scores),), scores)
    place = Place('', (0.5, 0, 0, 0, -0.5, 0), meters_per_px=0.5)
    view = MapView('noise', (3000, 3000), [Picture('image', rgba, 1)], [shapes], place)
    write_map_page(tmp_path / 'a.html', 'Noise', [view], {}, 0.6)
    assert 0.35e6 < (tmp_path / 'a.html').stat().st_size < 0.6e6
    content = content_of(tmp_path / 'a.html')[0]
    finest = content['pictures'][0]['finest']
    assert finest > 1
    left_out = content['shapes'][0]['left_out']
    assert 0 < left_out < count
    assert content['notes'] == [
        f'image: shown at 1/{2**finest} of its resolution, {2 ** (finest - 1):.2f} m per pixel',
        f'roofs: {left_out:,} of 5,000 are not drawn; of each part of the raster, those of the highest confidence are',
    ]


def test_texts_from_files_are_never_markup(tmp_path):
    write_map_page(tmp_path / 'a.html', EVIL, [view_of(EVIL)], FACTS)
    page = (tmp_path / 'a.html').read_text()
    assert '<script>window.evil' not in page
    assert '<img src=x' not in page
    assert page.count('<script') == 3  # the content, Leaflet, and ours
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', page)[1]
    assert "default-src 'none'" in policy
    assert policy.count('sha256-') == 2
    assert 'http:' not in policy
    assert content_of(tmp_path / 'a.html')[0]['title'] == EVIL


@pytest.fixture(scope='module')
def browser():
    if find_browser() is None:
        pytest.skip(MISSING)
    browser = Browser()
    yield browser
    browser.close()


@pytest.fixture(scope='module')
def page(tmp_path_factory):
    path = tmp_path_factory.mktemp('map') / 'a & b.html'
    write_map_page(path, 'Predictions', [view_of('first'), view_of('second', (400, 300))], FACTS)
    return path


def shown(browser, selector):
    return browser.run(f'document.querySelector({json.dumps(selector)}).textContent')


def canvas(browser):
    """Left, top, width and height of the map in the window."""
    return browser.run(
        '(({x, y, width, height}) => [x, y, width, height])'
        '(document.querySelector(".map-canvas").getBoundingClientRect())'
    )


def point(browser, x, y):
    """Bring the mouse to a place of the window; column and row there, as the map says."""
    browser.run('document.querySelector(".map-pointer").textContent = ""')
    browser.move(x, y)
    browser.wait('document.querySelector(".map-pointer").textContent')
    found = re.match(r'column (-?[\d.]+), row (-?[\d.]+)', shown(browser, '.map-pointer'))
    return np.array([float(found[1]), float(found[2])])


def in_window(browser, column, row):
    """Where a pixel of the raster is, by what the map says of two places."""
    left, top, width, height = canvas(browser)
    ends = np.array([[left + width * share, top + height * share] for share in (0.3, 0.7)])
    places = [point(browser, *end) for end in ends]
    return ends[0] + (np.array([column, row]) - places[0]) / (places[1] - places[0]) * (ends[1] - ends[0])


def test_a_click_on_a_building_shows_its_attributes_as_text(browser, page):
    browser.open(page)
    browser.wait('document.querySelectorAll(".map-canvas img[src]").length > 0')
    assert browser.run('document.querySelectorAll(".map-stops button").length') == 3
    assert shown(browser, '.map-stops [aria-pressed=true]') == 'buildings'
    assert 'below 0.5 (1)' in shown(browser, '.map-legend')
    place = in_window(browser, 700, 350)
    column, row = point(browser, *place)
    pointer = shown(browser, '.map-pointer')
    assert (column, row) == pytest.approx((700, 350), abs=2)
    browser.click(*place)
    browser.wait('document.querySelector(".leaflet-popup") !== null')
    assert shown(browser, '.leaflet-popup table') == f'score0.75height_m5name{EVIL}'
    x, y = map(float, re.search(r'x ([\d.]+), y ([\d.]+) \(EPSG:32633\)', pointer).groups())
    assert (x, y) == pytest.approx((5e5 + column / 2, 5e6 - row / 2), abs=0.1)
    degrees = tuple(map(float, re.search(r'longitude ([\d.]+)°, latitude ([\d.]+)°', pointer).groups()))
    assert degrees == pytest.approx((15 + column * 1e-5, 45 - row * 1e-5), abs=2e-6)
    assert browser.run('window.evil') is None
    assert browser.complaints == []
    assert browser.requests == [page.resolve().as_uri()]


def seen_layers(browser):
    """Opacity of each layer, 0 where it is hidden."""
    return browser.run(
        '[0, 1, 2].map((index) => document.querySelector(`.leaflet-layer-${index}-pane`))'
        '.map(({style}) => style.visibility ? 0 : Number(style.opacity))'
    )


def test_the_slider_goes_from_image_to_probability_to_polygons_by_keys(browser, page):
    browser.open(page)
    assert seen_layers(browser) == [1, 0, 0.85]
    browser.run('document.querySelectorAll(".map-stops button")[1].click()')
    assert seen_layers(browser) == [1, 0.85, 0]
    assert shown(browser, '.map-legend').startswith('probability:25%')
    browser.run('document.querySelector(".map-show input").focus()')
    browser.press('ArrowRight')
    assert seen_layers(browser) == pytest.approx([1, 0.85 * 0.95, 0.85 * 0.05])
    assert 'probability' in shown(browser, '.map-legend')
    assert 'buildings by score' in shown(browser, '.map-legend')
    browser.run(
        'const opacity = document.querySelector(".map-opacity"); opacity.value = 0.5;'
        'opacity.dispatchEvent(new Event("input"))'
    )
    assert seen_layers(browser) == pytest.approx([1, 0.5 * 0.95, 0.5 * 0.05])
    assert browser.run('document.querySelector(".map-canvas").tabIndex') == 0  # arrows, plus and minus are Leaflet's


def test_polygons_are_coloured_by_what_is_chosen_and_stepped_through_by_confidence(browser, page):
    browser.open(page)
    browser.run(
        'const colors = document.querySelector(".map-color select"); colors.selectedIndex = 1;'
        'colors.dispatchEvent(new Event("change"))'
    )
    assert shown(browser, '.map-legend') == 'buildings by height class:low-rise (1)tall (1)unknown (1)'
    browser.run('document.querySelector(".map-next").focus()')
    browser.press('Enter')
    assert shown(browser, '.map-status') == 'buildings, 1 of 3: score 0.95, height_m 50, name b'
    browser.press('Enter')
    assert shown(browser, '.map-status').startswith('buildings, 2 of 3: score 0.75')
    browser.wait(f'document.querySelector(".leaflet-popup table").textContent.includes({json.dumps(EVIL)})')
    browser.run('document.querySelector(".map-back").click()')
    assert shown(browser, '.map-status').startswith('buildings, 1 of 3')
    assert browser.run('window.evil') is None


def test_another_raster_is_another_map(browser, page):
    browser.open(page)
    browser.run(
        'const views = document.querySelector(".map-views select"); views.selectedIndex = 1;'
        'views.dispatchEvent(new Event("change"))'
    )
    assert shown(browser, '.map-pointer').startswith('column 200.0, row 150.0')
    assert browser.run('document.querySelectorAll(".map-canvas .leaflet-map-pane").length') == 1
    assert browser.complaints == []


@pytest.mark.parametrize('dark', [False, True])
@pytest.mark.parametrize('width', [1200, 390])
def test_what_is_seen_is_the_image_where_it_has_data_light_and_dark_wide_and_narrow(
    browser, page, tmp_path, dark, width
):
    browser.open(page, size=(width, 1400), dark=dark, is_phone=width == 390)
    left, _, wide, _ = canvas(browser)
    assert left >= 0
    assert left + wide <= width
    assert browser.run('document.documentElement.scrollWidth') <= width
    assert re.fullmatch(r'\d+ m', shown(browser, '.leaflet-control-scale-line'))
    places = [in_window(browser, *place) for place in ((600, 400), (100, 50), (-9, 400))]
    browser.run('document.querySelectorAll(".map-stops button")[0].click()')
    browser.wait('[...document.querySelectorAll(".map-canvas img[src]")].every((one) => one.complete)')
    time.sleep(0.5)  # tiles are faded in
    browser.screenshot(tmp_path / 'seen.png')
    seen = Image.open(tmp_path / 'seen.png').convert('RGB')
    data, none, around = (np.array(seen.getpixel(tuple(np.rint(place).astype(int).tolist()))) for place in places)
    assert data == pytest.approx((90, 120, 90), abs=6)
    assert (none == around).all()
    assert (around.max() < 60) == dark
