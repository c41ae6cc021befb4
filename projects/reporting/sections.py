"""Parts of a file that tools write, between the lines `<!-- NAME -->` and `<!-- /NAME -->`."""

import re
from pathlib import Path

from projects.storage.atomic_files import write_file


def read_section(path: Path, name: str) -> str:
    """Return what stands between the two lines.

    Raises:
        ValueError: If the file has not exactly one such section.
    """
    return _split(path, name)[1]


def replace_section(path: Path, name: str, text: str) -> None:
    """Put a text between the two lines; the file is replaced as a whole or not at all.

    Raises:
        ValueError: If the file has not exactly one such section.
    """
    before, _, after = _split(path, name)
    write_file(path, f'{before}\n{text}\n{after}')


def _split(path: Path, name: str) -> tuple[str, str, str]:
    """Split a file into what ends with the first line, what stands between both, and what starts with the last."""
    text = path.read_text(encoding='utf-8')
    begin, end = ([*re.finditer(rf'^<!-- {mark}{re.escape(name)} -->$', text, re.MULTILINE)] for mark in ('', '/'))
    if len(begin) != 1 or len(end) != 1 or begin[0].end() > end[0].start():
        known = ', '.join(dict.fromkeys(re.findall(r'^<!-- /(.+) -->$', text, re.MULTILINE))) or 'none'
        lines = f'`<!-- {name} -->` and `<!-- /{name} -->`'
        raise ValueError(f'{path} must have the lines {lines}, once each and in this order; it has sections: {known}')
    return text[: begin[0].end()], text[begin[0].end() : end[0].start()].strip('\n'), text[end[0].start() :]
