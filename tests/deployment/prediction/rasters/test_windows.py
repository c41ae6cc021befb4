import numpy as np
import pytest

from projects.deployment.prediction.rasters.blending import Patch, RowBlender
from projects.deployment.prediction.rasters.windows import WindowAxis, window_side


@pytest.mark.parametrize(('window', 'overlap'), [(64, 0), (64, 8), (64, 21), (64, 32), (96, 17)])
def test_windows_cover_the_raster_and_share_their_overlap(window, overlap):
    for length in [*range(1, 400), 512, 1000, 30000]:
        check_axis(length, window, overlap)


def check_axis(length, window, overlap):
    axis = WindowAxis(length, window, overlap)
    starts = np.array(axis.starts)
    assert starts[0] == 0
    assert starts[-1] + window == max(length, window)
    assert (starts[:-1] + window - starts[1:] >= overlap).all()
    assert len(starts) == 1 or (len(starts) - 1) * (window - overlap) + overlap < length  # none is in vain
    weights = np.zeros(length)
    covered = np.zeros(length, dtype=int)
    for index, start in enumerate(axis.starts):
        part = axis.part(index)
        assert 0 <= part.start <= part.stop <= window
        one = np.ones(part.stop - part.start)
        if index:
            one[: axis.ramp_px] = axis.ramp
        if index < len(starts) - 1:
            one[len(one) - axis.ramp_px :] -= axis.ramp
        weights[start + part.start : start + part.stop] += one
        covered[start + part.start : start + part.stop] += 1
    np.testing.assert_allclose(weights, 1, atol=1e-6)
    assert covered.max() <= 2
    assert axis.bounds[0] == 0
    assert axis.bounds[-1] == length
    assert (np.diff(axis.bounds) > 0).all()


def test_windows_and_seams_by_hand():
    axis = WindowAxis(200, 96, 32)
    assert axis.starts == [0, 52, 104]
    assert axis.seams == [0, 74, 126, 200]
    assert axis.bounds == [0, 58, 110, 200]
    assert [axis.part(index) for index in range(3)] == [slice(0, 90), slice(6, 90), slice(6, 96)]
    assert axis.ramp[[0, 7, 15]] == pytest.approx([0.000602, 0.129524, 0.475466], abs=1e-6)
    assert axis.ramp + axis.ramp[::-1] == pytest.approx(np.ones(32))
    sharp = WindowAxis(200, 96, 32, blend=False)
    assert (sharp.bounds, sharp.ramp_px) == (sharp.seams, 0)
    assert [window_side(length, 512) for length in (1, 32, 33, 500, 5000)] == [32, 32, 64, 512, 512]


def test_a_window_without_result_leaves_its_ramps_to_its_neighbors():
    rows, columns = WindowAxis(160, 96, 32), WindowAxis(160, 96, 32)
    for missing in ([(0, 0)], [(0, 1)], [(1, 0)], [(1, 1)], [(0, 0), (1, 0)], [(0, 0), (1, 1)], []):
        blender = RowBlender(rows, columns)
        values, valid = np.zeros((160, 160)), np.zeros((160, 160), dtype=bool)
        expected = np.zeros((160, 160), dtype=bool)
        for row in range(2):
            for column in range(2):
                window = None
                if (row, column) not in missing:
                    window = Patch(np.full((1, 96, 96), 0.3, np.float32), np.ones((96, 96), dtype=bool))
                    covered = rows.part(row), columns.part(column)
                    places = [
                        slice(axis.starts[index] + part.start, axis.starts[index] + part.stop)
                        for axis, index, part in zip((rows, columns), (row, column), covered, strict=True)
                    ]
                    expected[tuple(places)] = True
                patch = blender.add(row, column, window)
                if patch is not None:
                    place = (
                        slice(rows.bounds[row], rows.bounds[row + 1]),
                        slice(columns.bounds[column], columns.bounds[column + 1]),
                    )
                    values[place], valid[place] = patch.values[0], patch.valid
        np.testing.assert_array_equal(valid, expected)
        assert (values[valid] == np.float32(0.3)).all()


def test_rows_that_do_not_follow_one_another_are_not_blended():
    """As of a process that has made the lower strips, and then takes over the first one."""
    rows, columns = WindowAxis(160, 96, 32), WindowAxis(96, 96, 32)
    blender = RowBlender(rows, columns)
    windows = [Patch(np.full((1, 96, 96), value, np.float32), np.ones((96, 96), dtype=bool)) for value in (1, 5)]
    blender.add(0, 0, windows[0])
    assert (blender.add(0, 0, windows[1]).values == 5).all()
    assert blender.add(1, 0, windows[0]).values.max() > 4  # this one follows


def test_windows_that_disagree_fade_into_one_another_in_both_directions():
    rows, columns = WindowAxis(160, 96, 32), WindowAxis(140, 96, 16)
    blender = RowBlender(rows, columns)
    result = np.zeros((160, 140))
    for row in range(2):
        for column in range(2):
            window = Patch(np.full((1, 96, 96), 4 * row + column, np.float32), np.ones((96, 96), dtype=bool))
            place = slice(*rows.bounds[row : row + 2]), slice(*columns.bounds[column : column + 2])
            result[place] = blender.add(row, column, window).values[0]
    down = np.interp(np.arange(160), [63.5, 95.5], [0, 1])  # the linear ramp whose cosine is taken
    across = np.interp(np.arange(140), [61.5, 77.5], [0, 1])
    expected = 4 * (0.5 - 0.5 * np.cos(np.pi * down))[:, None] + (0.5 - 0.5 * np.cos(np.pi * across))
    np.testing.assert_allclose(result, expected, atol=1e-5)
