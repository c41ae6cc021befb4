"""Where the pixels of an image come from, and whether they may: files that it names, and servers.

An image that refers to others, a VRT, may come from anybody. GDAL would open whatever it names, on this machine, on
other hosts, in databases, and run its Python. Here it may name files that exist, and read from hosts that the user has
named (`allow_host`); all else is refused before GDAL sees it. GDAL follows redirections of those hosts.
"""

import re
import urllib.error
import urllib.request
from collections.abc import Iterator
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from xml.etree import ElementTree

HTTP = ('http://', 'https://')
CURL = '/vsicurl/'  # GDAL's prefix for files on servers
DEEPEST = 4  # of virtual data sets within one another
# Drivers of images on servers, none of which refers to other files, by the first bytes
DRIVERS = {b'II*\0': 'GTiff', b'MM\0*': 'GTiff', b'II+\0': 'GTiff', b'MM\0+': 'GTiff', b'\0\0\0\x0c': 'JP2OpenJPEG'}
TIMEOUT_S, MAX_ITEM_BYTES, MAGIC_BYTES = 30, 20 * 2**20, 4
NAMING = ('SourceFilename', 'SourceDataset')  # elements of a VRT that name other images
# GDAL looks for what describes images anywhere in what a file begins with.
HEAD_BYTES, BLANK = 65_536, b'\xef\xbb\xbf \t\r\n\0'
DESCRIPTIONS = (b'<VRTDataset', b'<GDAL_', b'<WCS_GDAL', b'<WMTS', b'<MRF_META', b'<WMS_', b'"stac_version"')
ELSEWHERE = re.compile(r'/vsi|\s*<|\s*\{|[A-Za-z][A-Za-z0-9_+-]+:')  # services, XML in place of a name, ...
# For all images: no Python of theirs is run, raw bytes are read beside them alone.
SAFE: dict[str, Any] = {
    'GDAL_VRT_ENABLE_PYTHON': 'NO',
    'GDAL_VRT_RAWRASTERBAND_ALLOWED_SOURCE': 'SIBLING_OR_CHILD_OF_VRT_PATH',
}
# For those on servers: nothing beside them is looked for, and a server that is silent is given up.
HTTP_OPTIONS: dict[str, Any] = {
    'GDAL_DISABLE_READDIR_ON_OPEN': 'EMPTY_DIR',
    'GDAL_HTTP_CONNECTTIMEOUT': 10,
    'GDAL_HTTP_TIMEOUT': 60,
    'GDAL_HTTP_MAX_RETRY': 3,
    'GDAL_HTTP_RETRY_DELAY': 1,
    'CPL_VSIL_CURL_NON_CACHED': CURL,
}
_hosts: set[str] = set()  # that the user named in this process
_probed: set[str] = set()  # sources on them that hold their own pixels


class UnreachableError(OSError):
    """A server did not give what it should."""


def allow_host(address: str) -> None:
    """Let images read from a host, such as 'example.org' or 'localhost:8000', or that of a URL."""
    _hosts.add(host_of(address) if '://' in address else address.lower())


def host_of(url: str) -> str:
    """Host and port of a URL, without name and password."""
    try:
        return urlsplit(url).netloc.rpartition('@')[2].lower()
    except ValueError as error:
        raise ValueError(f'{url} is no address: {error}') from error


def check_host(url: str, whose: str | Path) -> None:
    """Refuse a host that the user has not named.

    Raises:
        ValueError: It is such a host.
    """
    if host_of(url) not in _hosts:
        raise ValueError(
            f'{whose} reads from another host, {host_of(url)}, which nobody asked for; if you trust it: --hosts '
            f'{host_of(url)}'
        )


class _SameHost(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Any:
        check_host(newurl, req.full_url)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def fetch(url: str, part: str | None = None) -> tuple[bytes, Any]:
    """What an address holds, or bytes of it as an HTTP range such as 'bytes=0-3'; and the answer's headers."""
    request = urllib.request.Request(url, headers={'Range': part} if part else {})  # noqa: S310 (http and https alone)
    try:
        with urllib.request.build_opener(_SameHost).open(request, timeout=TIMEOUT_S) as answer:
            content: bytes = answer.read(MAX_ITEM_BYTES + 1 if part is None else MAGIC_BYTES)
            status, headers = answer.status, answer.headers
    except urllib.error.HTTPError as error:
        kind = FileNotFoundError if error.code == 404 else UnreachableError
        raise kind(f'{url}: the server answers {error.code} {error.reason}') from error
    except (OSError, HTTPException) as error:
        raise UnreachableError(f'{url} cannot be read: {getattr(error, "reason", error)}') from error
    if part is not None and status != 206:
        raise UnreachableError(f'{url}: the server gives no parts of files (HTTP ranges); download the image')
    if len(content) > MAX_ITEM_BYTES:
        raise ValueError(f'{url} is larger than {MAX_ITEM_BYTES // 2**20} MB; expected a STAC item')
    return content, headers


def probe(url: str) -> tuple[str, str]:
    """GDAL's driver for an image on a server, and what tells versions of it apart.

    Raises:
        FileNotFoundError: The server has no such file.
        UnreachableError: It does not answer, or not with parts of files.
        ValueError: It is no image that holds its own pixels.
    """
    start, headers = fetch(url, f'bytes=0-{MAGIC_BYTES - 1}')
    if start not in DRIVERS:
        raise ValueError(f'{url} is no GeoTIFF and no JPEG 2000, but begins with {start!r}')
    return DRIVERS[start], ' '.join(headers.get(name) or '-' for name in ('Content-Range', 'ETag', 'Last-Modified'))


def check_sources(path: Path, depth: int = 0) -> bool:
    """Refuse an image that names what it may not read, or what is not there.

    Returns:
        Whether something of it comes from a server.

    Raises:
        FileNotFoundError: A file that it names does not exist.
        UnreachableError: A server that it names does not answer.
        ValueError: It names anything else than image files and allowed hosts, would run Python, or is a service.
    """
    with path.open('rb') as file:
        head = file.read(HEAD_BYTES)
    text = head.lstrip(BLANK)
    if not text and len(head) < HEAD_BYTES:
        return False  # nothing, or blanks alone: no image either
    if text and not text.startswith((b'<', b'{')) and not any(mark in head for mark in DESCRIPTIONS):
        return False
    if not text.startswith(b'<VRTDataset') and not (text.startswith((b'<?xml', b'<!--')) and b'<VRTDataset' in text):
        raise ValueError(f'{path} is no image, but describes where one is; expected pixels, or a VRT')
    content = path.read_bytes()
    if b'<!' in content.replace(b'<!--', b''):
        raise ValueError(f'{path} defines entities or other declarations, which no VRT needs')
    try:
        root = ElementTree.fromstring(content)  # noqa: S314 (without declarations)
    except ElementTree.ParseError as error:
        raise ValueError(f'{path} is no VRT that can be read: {error}') from error
    if depth > DEEPEST:
        raise ValueError(f'{path}: more than {DEEPEST} virtual data sets within one another; does one name itself?')
    languages = {(element.text or '').strip().lower() for element in root.iter('PixelFunctionLanguage')}
    if 'python' in languages:
        raise ValueError(f'{path} would run Python (PixelFunctionLanguage), which is refused; compute its pixels first')
    is_remote, missing = False, []
    for name, source in _sources(root, path):
        if name.removeprefix(CURL).startswith(HTTP):
            check_host(name.removeprefix(CURL), path)
            if name not in _probed:
                probe(name.removeprefix(CURL))  # a VRT there could name what it likes, here and elsewhere
                _probed.add(name)
            is_remote = True
        elif ELSEWHERE.match(name):
            raise ValueError(f'{path} names {name[:80]!r} as a source, which is refused; expected files, or https://')
        elif not source.is_file():
            missing.append(name)
        else:
            is_remote |= check_sources(source, depth + 1)
    if missing:
        more = f' and {len(missing) - 1} more' if len(missing) > 1 else ''
        raise FileNotFoundError(
            f'{path} is made of files that do not exist: {missing[0]}{more}; bring them there, or make it anew: '
            f'gdalbuildvrt {path.name} ...'
        )
    return is_remote


def _sources(root: ElementTree.Element, path: Path) -> Iterator[tuple[str, Path]]:
    """Names of other images, as they stand there, and where they are if they are files."""
    raw = {id(element) for band in root.iter('VRTRasterBand') if 'Raw' in band.get('subClass', '') for element in band}
    for element in root.iter():
        if element.tag in NAMING:
            name = (element.text or '').strip()
            source = path.parent / name if element.get('relativeToVRT') == '1' else Path(name)
            if id(element) in raw and not source.resolve().is_relative_to(path.parent.resolve()):
                raise ValueError(f'{path} takes the bytes of {name} for pixels, which lies outside of its folder')
            yield name, source
