"""Which files a user means, what they are, and their pixels."""

import glob
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, UnidentifiedImageError

from projects.storage.file_names import names_apart

IMAGE_SUFFIXES = ('.jpg', '.jpeg', '.png', '.bmp', '.webp', '.ppm', '.pgm', '.tif', '.tiff')
RASTER_SUFFIXES = ('.tif', '.tiff', '.vrt', '.jp2')
VIDEO_SUFFIXES = ('.mp4', '.m4v', '.avi', '.mov', '.mkv', '.webm', '.mpg', '.mpeg', '.wmv')
ACCEPTED = f'images ({" ".join(IMAGE_SUFFIXES)}), rasters (.vrt .jp2, GeoTIFF), videos ({" ".join(VIDEO_SUFFIXES)})'
IMAGE, RASTER, VIDEO = 'image', 'raster', 'video'
MAX_IMAGE_PIXELS = 64_000_000  # a larger TIFF is read in windows
GEOTIFF_TAGS = {33550, 33922, 34264, 34735}  # OGC 19-008r4: pixel scale, tie points, transformation, keys
RPC_TAG = 50844  # of GeoTIFFs that rational polynomial coefficients place
PLACING = ('<SRS', '<GeoTransform', '<GCPList', 'domain="RPC"')  # in the .aux.xml that GDAL keeps beside an image


@dataclass(frozen=True)
class InputFile:
    """One file to predict.

    Attributes:
        path: Where it is.
        file_name: Its path below the folder that all inputs share.
        name: What its results are called: `file_name` without a suffix, with it where files differ in that alone.
        kind: `IMAGE`, `RASTER` or `VIDEO`.
    """

    path: Path
    file_name: str
    name: str
    kind: str


def find_inputs(inputs: Iterable[str | Path], out: str | Path | None = None) -> list[InputFile]:
    """Files that were given as files, folders (searched to the bottom, without hidden files) or globs, in fixed order.

    Args:
        inputs: What the user wrote.
        out: Folder of results, which is never searched.

    Returns:
        Each file once, by path.

    Raises:
        FileNotFoundError: Files, folders or matches do not exist; names all that do not.
        ValueError: A file is nothing that can be predicted, or a folder holds nothing such.
    """
    excluded = None if out is None else Path(out).resolve()
    found: dict[Path, Path] = {}
    roots = []
    inputs = list(inputs)
    absent = [str(given) for given in inputs if not _is_there(str(given))]
    if absent:
        raise FileNotFoundError(
            f'no such file or folder: {", ".join(absent)}; nothing was begun. Correct or leave out '
            f'{"it" if len(absent) == 1 else f"these {len(absent)}"} of the {len(inputs)} inputs; accepted are '
            f'{ACCEPTED}, folders of them, and globs'
        )
    for given in inputs:
        files, root = _files_of(str(given), excluded)
        roots.append(os.path.abspath(root))  # noqa: PTH100 (links stay as they are)
        for file in files:
            found.setdefault(file.resolve(), file)
    if not found:
        raise ValueError(f'no inputs; expected {ACCEPTED}, folders of them, or globs')
    shared = os.path.commonpath(roots)
    relative = {file: Path(os.path.relpath(file, shared)) for file in found.values()}
    chosen = [
        InputFile(file, path.as_posix(), name, kind_of(file))
        for (file, path), name in zip(relative.items(), names_apart(list(relative.values())), strict=True)
    ]
    return sorted(chosen, key=lambda one: one.file_name)


def kind_of(path: Path) -> str:
    """What a file is: `IMAGE`, `RASTER` or `VIDEO`.

    An image is a raster if it says where it lies, by its own tags or by a file beside it (a world file such as .tfw,
    .pgw or .wld, or GDAL's .aux.xml). So is a TIFF that has more than `MAX_IMAGE_PIXELS`, or that pillow does not know.
    """
    suffix = path.suffix.lower()
    if suffix in VIDEO_SUFFIXES:
        return VIDEO
    if suffix not in IMAGE_SUFFIXES or _is_placed_beside(path):
        return RASTER
    if suffix not in RASTER_SUFFIXES:
        return IMAGE
    try:
        with Image.open(path) as image:  # reads the tags alone
            is_large = image.width * image.height > MAX_IMAGE_PIXELS
            return RASTER if is_large or {*GEOTIFF_TAGS, RPC_TAG} & set(getattr(image, 'tag_v2', ())) else IMAGE
    except (UnidentifiedImageError, Image.DecompressionBombError):
        return RASTER
    except (OSError, ValueError, SyntaxError):  # broken: it is named when it is read
        return IMAGE


def _is_placed_beside(path: Path) -> bool:
    suffix = path.suffix.lower()
    worlds = {f'.{suffix[1]}{suffix[-1]}w', f'{suffix}w', '.wld'}  # .png: .pgw, .pngw
    if any(path.with_suffix(world).exists() or path.with_suffix(world.upper()).exists() for world in worlds):
        return True
    try:
        text = path.with_name(f'{path.name}.aux.xml').read_text(errors='replace')
    except OSError:
        return False
    return any(mark in text for mark in PLACING)


def _files_of(given: str, excluded: Path | None) -> tuple[list[Path], Path]:
    """Files that one argument stands for, and the folder that their names start below."""
    path = Path(given).expanduser()
    if path.is_dir():
        files = [file for file in _walk(path, excluded) if _is_accepted(file)]
        if not files:
            raise ValueError(f'{path} and the folders in it hold nothing to predict; accepted are {ACCEPTED}')
        return files, path
    if path.is_file():
        if not _is_accepted(path):
            raise ValueError(f'cannot predict {path}: accepted are {ACCEPTED}')
        return [path], path.parent
    matches = [Path(match) for match in sorted(glob.glob(str(path), recursive=True))]  # noqa: PTH207 (it may be absolute)
    files = [
        file for file in matches if file.is_file() and _is_accepted(file) and not _is_inside(file.resolve(), excluded)
    ]
    if not files:
        raise FileNotFoundError(f'{given} matches {len(matches)} files, none to predict; accepted are {ACCEPTED}')
    return files, Path(os.path.commonpath([file.parent for file in files]))


def _is_there(given: str) -> bool:
    path = Path(given).expanduser()
    return path.exists() or glob.has_magic(str(path))


def _walk(folder: Path, excluded: Path | None) -> Iterator[Path]:
    for root, folders, names in os.walk(folder):
        folders[:] = sorted(
            name
            for name in folders
            if not name.startswith('.') and not _is_inside((Path(root) / name).resolve(), excluded)
        )
        yield from (Path(root) / name for name in sorted(names) if not name.startswith('.'))


def _is_inside(path: Path, folder: Path | None) -> bool:
    return folder is not None and path.is_relative_to(folder)


def _is_accepted(path: Path) -> bool:
    return path.suffix.lower() in {*IMAGE_SUFFIXES, *RASTER_SUFFIXES, *VIDEO_SUFFIXES}
