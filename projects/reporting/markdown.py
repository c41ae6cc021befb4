"""Markdown files from their parts."""

import re
from collections.abc import Iterable
from typing import TypeAlias

from .tables import Table

Part: TypeAlias = str | Table | None


def document(parts: Iterable[Part]) -> str:
    """Join parts by blank lines, without those that are empty and headings that nothing follows.

    Example:
        >>> print(document(['# Study', '## Notes', bullets([]), '## Cost', '3 minutes']))
        # Study
        <BLANKLINE>
        ## Cost
        <BLANKLINE>
        3 minutes
    """
    texts = [part.markdown() if isinstance(part, Table) else part for part in parts if part]
    levels = [len(re.match('#*', text)[0]) for text in texts]  # type: ignore[index]
    kept = [
        text
        for text, level, following in zip(texts, levels, [*levels[1:], 1], strict=False)
        if not 0 < following <= level
    ]
    return '\n\n'.join(kept)


def bullets(texts: Iterable[str], title: str = '') -> str:
    """A list, below a line that says of what; '' of nothing."""
    listed = '\n'.join(f'- {text}' for text in texts)
    return f'{title}\n\n{listed}' if title and listed else listed
