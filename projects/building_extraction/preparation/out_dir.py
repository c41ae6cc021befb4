"""The folder that a converted data set goes to."""

from collections.abc import Set
from pathlib import Path


def check_contents(out_dir: Path, entries: Set[str], overwrite: bool) -> None:
    """Refuse a folder that is in use.

    Args:
        out_dir: The folder to write; it may be absent.
        entries: Names of all that a data set consists of.
        overwrite: Whether a set may be replaced.

    Raises:
        FileExistsError: It is a file, holds other files, or a set that may not be replaced.
    """
    if not out_dir.exists():
        return
    if not out_dir.is_dir():
        raise FileExistsError(f'{out_dir} is a file; expected a folder to write')
    held = {path.name for path in out_dir.iterdir()}
    if held - entries:
        raise FileExistsError(f'{out_dir} holds other files ({min(held - entries)}); choose a new or empty folder')
    if held and not overwrite:
        raise FileExistsError(
            f'{out_dir} holds a set already; pass --overwrite to replace it, or choose another folder'
        )
