import numpy as np
import pytest
import rasterio
from scipy.ndimage import label

from projects.geodata.polygons.pixel_regions import find_regions


@pytest.mark.parametrize('highest', [1, 3])
@pytest.mark.parametrize('density', [0.3, 0.6, 0.9])
def test_regions_are_the_connected_pixels_of_a_value_with_their_sums(highest, density):
    random = np.random.default_rng(0)
    values = random.integers(1, highest + 1, (40, 50)) * (random.random((40, 50)) < density)
    layer = random.random(values.shape)
    regions = find_regions(values > 0 if highest == 1 else values, [np.ones(values.shape), layer], column=7, row=3)
    components = [label(values == value) for value in range(1, highest + 1)]
    assert len(regions) == sum(number for _, number in components)
    for polygon, value, sums in zip(regions.polygons, regions.values, regions.sums, strict=True):
        place = rasterio.Affine.translation(7, 3)
        inside = rasterio.features.rasterize([polygon], values.shape, transform=place).astype(bool)
        numbers = components[value - 1][0]
        assert (inside == (numbers == numbers[inside][0])).all()
        np.testing.assert_allclose(sums, [inside.sum(), layer[inside].sum()])
        assert polygon.is_valid
