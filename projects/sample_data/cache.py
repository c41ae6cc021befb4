"""Folders that are generated once and never seen half-written."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from filelock import FileLock

from projects.storage.folders import replacing_folder

MANIFEST = 'generated.json'


def build_once(root: Path, parameters: dict[str, Any], build: Callable[[Path], None]) -> Path:
    """Builds a folder, unless it is there already and was built with the same parameters.

    It is whole or absent whenever the process dies. Of several processes that ask at once, one builds and the others
    wait.

    Args:
        root: The folder.
        parameters: All that decides its contents, the version of the generator included; must survive JSON.
        build: Writes the contents into the empty folder that it is given.

    Returns:
        `root`.

    Raises:
        FileExistsError: If `root` holds files that were not generated; they are left alone.
        NotADirectoryError: If `root` is a file.
    """
    place = Path(root).resolve()
    if _is_current(place, parameters):
        return root
    place.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(place.with_name(f'.{place.name}.lock')):
        if not _is_current(place, parameters):
            _refuse_foreign_files(place)
            with replacing_folder(place) as folder:
                build(folder)
                manifest = {'parameters': parameters, 'bytes': _file_sizes(folder)}
                (folder / MANIFEST).write_text(json.dumps(manifest, indent=1) + '\n')
    return root


def _is_current(place: Path, parameters: dict[str, Any]) -> bool:
    """Whether the folder was built with these parameters and every file still has the size it was written with."""
    manifest = place / MANIFEST
    if not manifest.is_file():
        return False
    try:
        content = json.loads(manifest.read_text())
    except json.JSONDecodeError:  # damaged, so the rest may be too
        return False
    return content == {'parameters': parameters, 'bytes': _file_sizes(place)}


def _file_sizes(place: Path) -> dict[str, int]:
    """Size in bytes of every file but the manifest, by its path in the folder."""
    files = sorted(path for path in place.rglob('*') if path.is_file() and path != place / MANIFEST)
    return {path.relative_to(place).as_posix(): path.stat().st_size for path in files}


def _refuse_foreign_files(place: Path) -> None:
    if place.exists() and not place.is_dir():
        raise NotADirectoryError(f'{place} is a file, and a generated data set needs a folder there: choose another.')
    if place.exists() and any(place.iterdir()) and not (place / MANIFEST).is_file():
        raise FileExistsError(
            f'{place} holds files that were not generated (it has no {MANIFEST}), so it is not overwritten: '
            'choose another folder, or empty this one.'
        )
