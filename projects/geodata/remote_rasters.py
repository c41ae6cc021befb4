"""Images on servers, assets of STAC items and parts of images, as small local files (VRT) that are read like any image.

A VRT in the folder of results says which pixels are meant, and which version of them: it stays as it is as long as they
do, so that an interrupted run can go on, and does not go on with others.
"""

import hashlib
import json
import re
import warnings
from collections.abc import Container
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import unquote, urljoin, urlsplit
from xml.etree import ElementTree

import numpy as np

from projects.command_line import UsageError
from projects.storage.atomic_files import write_file

from .coordinate_systems import CRS, WGS84
from .gdal import rasterio
from .raster_rules import check_placed
from .raster_sources import (
    CURL,
    HTTP,
    HTTP_OPTIONS,
    SAFE,
    UnreachableError,
    allow_host,
    check_host,
    check_sources,
    fetch,
    host_of,
    probe,
)
from .vector_places import reproject_bounds

IMAGE_TYPES, IMAGE_SUFFIXES = ('image/',), ('.tif', '.tiff', '.jp2', '.jpg', '.jpeg', '.png', '.webp')
VISUAL = 'visual'  # name, or role, of the asset that people look at


@dataclass(frozen=True)
class SourceChoice:
    """What is read of images that are given by their address, by STAC items, or in part.

    Attributes:
        asset: Name of the item's; None: the visual one, or the only image.
        bbox_deg: West, south, east and north, longitude and latitude on WGS 84; None: all.
        hosts: That may be read from, besides those of the addresses.
    """

    asset: str | None = None
    bbox_deg: tuple[float, float, float, float] | None = None
    hosts: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.bbox_deg is not None:
            west, south, east, north = self.bbox_deg
            if not (-180 <= west < east <= 180 and -90 <= south < north <= 90):
                raise UsageError(f'--bbox {west} {south} {east} {north}: expected WEST SOUTH EAST NORTH in degrees')


def is_elsewhere(given: str) -> bool:
    """Whether an input is an address or a STAC item, which `to_local` makes a file of."""
    return given.startswith(HTTP) or given.lower().endswith(('.json', '.geojson'))


def to_local(given: str, folder: Path, choice: SourceChoice, taken: Container[Path] = ()) -> Path:
    """Write the VRT of an input.

    Args:
        given: Address of an image or STAC item, or a file of one of both.
        folder: Below which the VRT is written.
        choice: What is read of it.
        taken: Those of other inputs, which may be named alike.

    Raises:
        FileNotFoundError: There is no such file, or image on the server.
        UnreachableError: The server does not answer, or not with what was asked for.
        ValueError: The item has no such asset, names a host that is not allowed, or the image does not meet the box.
    """
    for host in choice.hosts:
        allow_host(host)
    if given.startswith(HTTP):
        allow_host(given)
    source = given
    if urlsplit(given).path.lower().endswith(('.json', '.geojson')):
        source = _asset(given, choice.asset)
    elif choice.asset is not None:
        raise UsageError(f'--asset {choice.asset}: {given} is no STAC item')
    if source.startswith(HTTP):
        parts = urlsplit(source)
        place = PurePosixPath(host_of(source).replace(':', '_'), *map(_plain, unquote(parts.path).split('/')))
        driver, version = probe(source)
        name = CURL + source
    else:
        path = Path(source)
        if not path.is_file():
            raise FileNotFoundError(f'the image {path} does not exist')
        check_sources(path)
        place = PurePosixPath(path.name)
        name, driver, version = str(path.absolute()), None, f'{path.stat().st_size} {path.stat().st_mtime_ns}'
    text = _vrt(name, given, driver, choice.bbox_deg)
    comment = f'\n<!-- version {re.sub("[<>]|--", " ", version)} -->\n'
    vrt = folder / place.with_suffix('.vrt')
    if vrt in taken:
        vrt = vrt.with_stem(f'{vrt.stem}_{hashlib.sha256(name.encode()).hexdigest()[:8]}')
    vrt.parent.mkdir(parents=True, exist_ok=True)
    if not vrt.exists() or vrt.read_text(encoding='utf-8') != text + comment:
        write_file(vrt, text + comment)
    return vrt


def _plain(part: str) -> str:
    """A part of an address as the name of a folder."""
    return re.sub(r'[^\w.+-]', '_', part).lstrip('.')


def _asset(given: str, wanted: str | None) -> str:
    """Address or file of an item's asset."""
    if not given.startswith(HTTP) and not Path(given).is_file():
        raise FileNotFoundError(f'the STAC item {given} does not exist')
    content = fetch(given)[0] if given.startswith(HTTP) else Path(given).read_bytes()
    try:
        item = json.loads(content)
        assets = item['assets']
        hrefs = {name: _text(asset['href']) for name, asset in assets.items()}
        roles = {name: {_text(role) for role in asset.get('roles') or ()} for name, asset in assets.items()}
        images = [name for name in hrefs if _is_image(hrefs[name], assets[name].get('type'), roles[name])]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f'{given} is no STAC item: expected JSON with "assets", of which each has a "href"') from error
    visual = [name for name in images if name == VISUAL] or [name for name in images if VISUAL in roles[name]]
    chosen = [wanted] if wanted is not None else (visual or images)
    if len(chosen) != 1 or chosen[0] not in hrefs:
        listed = ', '.join(f'{name} ({assets[name].get("type") or "no type"})' for name in hrefs) or 'none'
        reason = f'no asset {wanted!r}' if wanted is not None else f'{len(chosen)} images and none that is {VISUAL!r}'
        raise ValueError(f'{given} has {reason}; choose one with --asset: {listed}')
    href = hrefs[chosen[0]]
    if given.startswith(HTTP):
        href = urljoin(given, href)
    if href.startswith(HTTP):
        check_host(href, f'the asset {chosen[0]!r} of {given}')
        return href
    folder = Path(given).parent.resolve()
    path = (folder / href).resolve()
    if given.startswith(HTTP) or '://' in href or href.startswith('/vsi') or not path.is_relative_to(folder):
        raise ValueError(
            f'{given}: its asset {chosen[0]!r} is {href!r}; expected https://, or a file in the folder of the item; '
            'give the image itself, if you trust it'
        )
    return str(path)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f'{value!r} is no text')
    return value


def _is_image(href: str, kind: str | None, roles: set[str]) -> bool:
    if {'thumbnail', 'overview'} & roles:
        return False
    return _text(kind).startswith(IMAGE_TYPES) if kind else urlsplit(href).path.lower().endswith(IMAGE_SUFFIXES)


def _vrt(name: str, given: str, driver: str | None, bbox_deg: tuple[float, float, float, float] | None) -> str:
    """XML of a virtual data set that shows an image, or what of it lies in a box."""
    remote = name.startswith(CURL)
    try:
        with (
            rasterio.Env(**SAFE, **(HTTP_OPTIONS if remote else {})),
            TemporaryDirectory() as folder,
            warnings.catch_warnings(),
        ):
            warnings.simplefilter('ignore', rasterio.errors.NotGeoreferencedWarning)  # said by `check_placed`
            with rasterio.open(name, driver=driver) as source:
                if source.driver == 'VRT':
                    raise ValueError(f'{given} is made of several images; cut it first: gdal_translate -projwin ...')
                window = None if bbox_deg is None else _window(source, given, bbox_deg)
                rasterio.shutil.copy(source, f'{folder}/a.vrt', driver='VRT')
            root = ElementTree.parse(f'{folder}/a.vrt').getroot()  # noqa: S314 (GDAL wrote it)
    except rasterio.errors.RasterioError as error:
        reason = ' '.join(str(error).split()).replace(CURL, '')
        raise (UnreachableError if remote else ValueError)(f'{given} is no image that can be read: {reason}') from error
    for element in root.iter('SourceFilename'):
        element.text = name
        element.set('relativeToVRT', '0')
    if window is not None:
        _cut(root, *window)
    return ElementTree.tostring(root, encoding='unicode')


def _window(source: Any, given: str, bbox_deg: tuple[float, float, float, float]) -> tuple[int, int, int, int]:
    """First column and row, width and height in pixels of all pixels that meet a box."""
    check_placed(source, Path(given))
    box = reproject_bounds(bbox_deg, CRS(WGS84), CRS(source.crs.to_wkt()))
    inverse = ~source.transform
    (left, top), (right, bottom) = inverse @ (box[0], box[3]), inverse @ (box[2], box[1])
    if not np.isfinite([left, top, right, bottom]).all():
        raise ValueError(f'--bbox {bbox_deg} lies outside of what the coordinate system of {given} can express')
    low, high = np.floor([left, top]).astype(int), np.ceil([right, bottom]).astype(int)
    low, high = np.maximum(low, 0), np.minimum(high, [source.width, source.height])
    if (high <= low).any():
        there = reproject_bounds(tuple(source.bounds), CRS(source.crs.to_wkt()), CRS(WGS84))
        raise ValueError(f'{given} lies at {" ".join(f"{value:.5f}" for value in there)}, outside of --bbox {bbox_deg}')
    return int(low[0]), int(low[1]), *map(int, high - low)  # type: ignore[return-value]


def _cut(root: ElementTree.Element, column: int, row: int, width: int, height: int) -> None:
    """Reduce a virtual data set of one image to a window."""
    size = {'xSize': str(width), 'ySize': str(height)}
    for tag, left, top in (('SrcRect', column, row), ('DstRect', 0, 0)):
        for rect in root.iter(tag):
            rect.attrib.update(size, xOff=str(left), yOff=str(top))
    root.attrib.update(rasterXSize=str(width), rasterYSize=str(height))
    transform = root.find('GeoTransform')
    assert transform is not None  # by `check_placed`
    affine = rasterio.Affine.from_gdal(*map(float, str(transform.text).split(',')))
    moved = affine @ rasterio.Affine.translation(column, row)
    transform.text = ', '.join(repr(float(value)) for value in moved.to_gdal())
