import io

import pytest
from PIL import Image

from projects.reporting.figures import (
    DOTS_PER_INCH,
    add_legend,
    new_figure,
    png,
    running_mean,
    style_axes,
    write_figure,
)


def test_a_figure_is_written_as_a_whole_into_a_folder_that_is_made(tmp_path, monkeypatch):
    figure = new_figure(3, 2)
    write_figure(figure, tmp_path / 'charts' / 'a.png')
    with Image.open(tmp_path / 'charts' / 'a.png') as image, Image.open(io.BytesIO(png(figure))) as same:
        assert image.format == same.format == 'PNG'
        assert image.size == same.size == (3 * DOTS_PER_INCH, 2 * DOTS_PER_INCH)
    before = (tmp_path / 'charts' / 'a.png').read_bytes()
    figure.add_subplot(title='$\\notacommand$')  # cannot be drawn
    with pytest.raises(ValueError, match='notacommand'):
        write_figure(figure, tmp_path / 'charts' / 'a.png')
    assert [path.name for path in (tmp_path / 'charts').iterdir()] == ['a.png']
    assert (tmp_path / 'charts' / 'a.png').read_bytes() == before


def test_the_legend_stands_outside_of_the_axes_in_no_more_columns_than_allowed():
    figure = new_figure(6, 3)
    axes = figure.add_subplot()
    style_axes(axes)
    lines = [axes.plot([0, 1], label=name)[0] for name in 'abcde']
    add_legend(figure, lines, columns=2)
    figure.canvas.draw()
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == list('abcde')
    assert not legend.get_window_extent().overlaps(axes.get_window_extent())
    columns = {round(text.get_window_extent().x0) for text in legend.get_texts()}
    assert len(columns) == 2
    assert not axes.spines['top'].get_visible()
    assert axes.spines['left'].get_visible()


def test_nothing_to_explain_is_no_error():
    add_legend(new_figure(2, 2), [])


def test_the_running_mean_does_not_look_ahead():
    assert running_mean([1, 2, 6, 4], 3).tolist() == pytest.approx([3, 4])
    assert running_mean([1, 2], 0).tolist() == [1, 2]
