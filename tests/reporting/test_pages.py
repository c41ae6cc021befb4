import base64

import pytest
from jinja2 import UndefinedError

from projects.reporting.pages import render_page
from projects.reporting.tables import Table

TEMPLATE = """\
{% extends 'page.html' %}
{% block body %}
{{ heading('Scores & more') }}
<p>{{ remark }}</p>
{{ table.html() }}
{{ figure('a < b', picture, 'nothing drawn') }}
{{ heading('End') }}
{% endblock %}
"""


@pytest.fixture
def template(tmp_path):
    path = tmp_path / 'some.html'
    path.write_text(TEMPLATE)
    return path


def test_a_page_escapes_texts_but_not_tables_and_links_its_headings(template):
    table = Table('', ['a'], [['1 < 2']])
    page = render_page(template, '<title>', remark='<script>&', table=table, picture=b'png')
    assert page.startswith('<!DOCTYPE html>\n<html lang="en">')
    assert '<title>&lt;title&gt;</title>' in page
    assert '<h1>&lt;title&gt;</h1>' in page
    assert '<p>&lt;script&gt;&amp;</p>' in page
    assert '<nav><a href="#scores-more">Scores &amp; more</a><a href="#end">End</a></nav>' in page
    assert '<h2 id="scores-more">Scores &amp; more</h2>' in page
    assert '<th scope="row">1 &lt; 2</th>' in page
    assert f'<img src="data:image/png;base64,{base64.b64encode(b"png").decode()}" alt="a &lt; b">' in page


def test_without_a_picture_the_page_says_so(template):
    page = render_page(template, 'x', remark='', table=Table('', ['a'], []), picture=None)
    assert '<p>nothing drawn</p>' in page
    assert '<img' not in page


def test_what_the_template_misses_is_an_error(template):
    with pytest.raises(UndefinedError, match="'remark' is undefined"):
        render_page(template, 'x', table=Table('', ['a'], []), picture=None)
