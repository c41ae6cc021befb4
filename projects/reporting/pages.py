"""HTML pages that need nothing else: no files and no network; maps alone bring scripts, and no others are run."""

import base64
import re
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

TEMPLATES = Path(__file__).parent / 'templates'


def render_page(template: Path, title: str, **values: Any) -> str:
    """Fill a template that extends `page.html` and is one block `body`.

    All texts are escaped. In the block, `heading(TITLE)` is the heading of a section, which the page links on top;
    `figure(CAPTION, PNG, TEXT)` is a picture, or the text where there is none; a table is `TABLE.html()`;
    `slippy_map(VIEWS, LIMIT_MB)` is a map (`maps.map_figure`).

    Args:
        template: The file.
        title: Of the page.
        **values: What else the template uses.

    Raises:
        jinja2.UndefinedError: The template uses what it was not given.
    """
    headings: list[str] = []

    def heading(text: str) -> Markup:
        headings.append(text)
        return Markup('<h2 id="{}">{}</h2>').format(_anchor(text), text)

    assets: dict[str, Any] = {}

    def slippy_map(*arguments: Any) -> Markup:
        from .maps import map_assets, map_figure  # only now: most pages have none

        assets.update(map_assets())
        return map_figure(*arguments)

    values |= {'title': title, 'heading': heading, 'headings': headings, 'slippy_map': slippy_map, 'assets': assets}
    return _environment().from_string(template.read_text(encoding='utf-8')).render(values)


def render_part(name: str, **values: Any) -> Markup:
    """Fill one of the templates of this room; the result is markup, which a page does not escape again."""
    return Markup(_environment().get_template(name).render(values))  # noqa: S704 its texts are escaped


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.globals['figure'] = _figure
    environment.filters |= {'anchor': _anchor, 'unbroken': _unbroken}
    return environment


def _figure(caption: str, png: bytes | None, otherwise: str) -> Markup:
    picture = None if png is None else base64.b64encode(png).decode()
    return render_part('figure.html', caption=caption, picture=picture, otherwise=otherwise)


def _anchor(text: str) -> str:
    return re.sub(r'\W+', '-', text.lower())


def _unbroken(text: str) -> str:
    """Keep a spread and a count on the line of their number, by no-break spaces."""
    return re.sub(r' ([±=]) ', '\N{NO-BREAK SPACE}\\1\N{NO-BREAK SPACE}', text)
