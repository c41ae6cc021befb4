import numpy as np

from projects.pixels.bit_depth import eight_bits, image_in_eight_bits, sample_windows, value_limits


def test_a_picture_comes_out_alike_whatever_its_type():
    picture = np.random.default_rng(0).integers(0, 4096, (100, 130, 3))
    as_12_bits = image_in_eight_bits(picture.astype(np.uint16))
    assert as_12_bits.dtype == np.uint8
    assert as_12_bits.min() == 0
    assert as_12_bits.max() == 255
    low, high = np.percentile(picture, (2, 98))
    np.testing.assert_allclose(as_12_bits, ((picture - low) / (high - low)).clip(0, 1) * 255, atol=0.51)
    for other in (picture.astype(np.uint16) * 16, picture.astype(np.int16) - 2048, picture.astype(np.float32) / 4095):
        np.testing.assert_allclose(image_in_eight_bits(other).astype(int), as_12_bits, atol=1)


def test_what_is_no_data_becomes_black_and_does_not_count():
    values = np.array([[1.0, 2.0, np.nan, np.inf, -np.inf, -9999, -9999]] * 50, np.float32)[..., None]
    assert image_in_eight_bits(values)[0, :, 0].tolist() == [0, 255, 0, 0, 0, 0, 0]
    assert value_limits(np.zeros(0)) == (0, 1)
    assert eight_bits(np.array([5, 5]), *value_limits(np.array([5, 5]))).tolist() == [0, 0]
    assert (image_in_eight_bits(np.full((3, 4, 1), np.nan, np.float32)) == 0).all()


def test_a_sample_holds_each_pixel_of_a_small_image_once_and_a_grid_of_a_large_one():
    seen = np.zeros((70, 1000), int)
    for column, row, width, height in sample_windows(1000, 70):
        seen[row : row + height, column : column + width] += 1
    assert (seen == 1).all()
    windows = list(sample_windows(100_000, 50_000))
    assert len(windows) == 256
    assert windows[-1] == (99_936, 49_936, 64, 64)
