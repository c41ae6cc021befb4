"""One table, for Markdown, a page and a terminal."""

import io
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.table import Table as RichTable

LOG_WIDTH = 140  # columns of text, where no terminal says how many there are


@dataclass(frozen=True)
class Table:
    r"""Rows of text.

    Attributes:
        caption: What the figures are; '' for none.
        columns: Names of the columns; the first one names the rows.
        rows: One text per column each.
        best: Row and column of each cell that stands out.
        numeric: Columns that are aligned to the right.

    Raises:
        ValueError: A row has more or fewer cells than there are columns.

    Example:
        >>> print(Table('', ['network', 'F1'], [['a|b', '81.2']], numeric=['F1']).markdown())
        | network | F1 |
        | --- | ---: |
        | a\|b | 81.2 |
    """

    caption: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    best: Collection[tuple[int, int]] = frozenset()
    numeric: Collection[str] = ()

    def __post_init__(self) -> None:
        for row in self.rows:
            if len(row) != len(self.columns):
                raise ValueError(f'the row {list(row)} has {len(row)} cells; the table has {len(self.columns)} columns')

    def markdown(self) -> str:
        """Return the caption in bold and the table; bars in texts are escaped, and a cell is one line."""
        rows = [
            [f'**{cell}**' if (row, column) in self.best else cell for column, cell in enumerate(cells)]
            for row, cells in enumerate(self.rows)
        ]
        rules = ['---:' if name in self.numeric else '---' for name in self.columns]
        lines = [f'| {" | ".join(map(_markdown_cell, cells))} |' for cells in (self.columns, rules, *rows)]
        return '\n'.join([f'**{self.caption}**', '', *lines] if self.caption else lines)

    def html(self) -> str:
        """Return a `table` element, all texts escaped; to a template it is markup."""
        from .pages import render_part  # only now: who writes text alone does without Jinja

        return render_part('table.html', table=self)

    def text(self, ruled: bool = True) -> str:
        """Return the caption and the table for a log, long cells wrapped; without lines around cells if not `ruled`."""
        from rich.console import Console

        console = Console(file=io.StringIO(), width=LOG_WIDTH, color_system=None)
        console.print(self.rich(ruled))
        lines = console.file.getvalue().splitlines()  # type: ignore[attr-defined]
        lines = [self.caption, *(line.rstrip() for line in lines)]
        return '\n'.join(lines).strip('\n')

    def rich(self, ruled: bool = True, grouped: bool = False) -> 'RichTable':
        """Return the table for a terminal, without its caption.

        Args:
            ruled: Draw lines around cells.
            grouped: Draw one between rows whose first cells differ.
        """
        from rich.box import HEAVY_HEAD, SIMPLE_HEAD
        from rich.table import Table as RichTable
        from rich.text import Text

        table = RichTable(
            header_style='bold', box=HEAVY_HEAD if ruled else SIMPLE_HEAD, pad_edge=ruled, show_edge=ruled
        )
        for name in self.columns:
            table.add_column(Text(name), justify='right' if name in self.numeric else 'left', overflow='fold')
        for row, following in zip_longest(self.rows, self.rows[1:]):
            ends = grouped and following is not None and following[0] != row[0]
            table.add_row(*map(Text, row), end_section=ends)
        return table


def _markdown_cell(text: str) -> str:
    return ' '.join(re.sub(r'(\\*)\|', r'\1\1\\|', text).split())
