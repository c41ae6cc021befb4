import numpy as np
import pytest

from projects.geodata.coordinate_systems import meters_per_unit, parse_crs, to_degrees, utm_zone


@pytest.mark.parametrize(('latitude_deg', 'northing'), [(0, 0.0), (60, 8399737.889818357)])
def test_a_web_mercator_meter_shrinks_with_the_cosine_of_the_latitude(latitude_deg, northing):
    east, north = meters_per_unit('EPSG:3857', np.array([[0.0, northing]]))[0]
    flattening_squared = 0.00669438
    sine = np.sin(np.radians(latitude_deg))
    cosine = np.cos(np.radians(latitude_deg))
    assert east == pytest.approx(cosine / np.sqrt(1 - flattening_squared * sine**2), rel=1e-5)
    assert north == pytest.approx(
        cosine * (1 - flattening_squared) / (1 - flattening_squared * sine**2) ** 1.5, rel=1e-5
    )


def test_degrees_feet_and_utm_have_their_lengths():
    assert meters_per_unit('EPSG:4326', np.array([[10.0, 0.0]]))[0] == pytest.approx([111319.5, 110574.3], rel=1e-5)
    assert meters_per_unit('EPSG:32633', np.array([[500000.0, 5e6]]))[0] == pytest.approx([1 / 0.9996] * 2, rel=1e-5)
    assert meters_per_unit('EPSG:2263', np.array([[980000.0, 200000.0]]))[0] == pytest.approx([0.3048] * 2, rel=1e-3)


def test_places_and_names_that_are_none_are_errors():
    with pytest.raises(ValueError, match="'EPSG:99' is no coordinate system"):
        parse_crs('EPSG:99')
    with pytest.raises(ValueError, match='cannot express'):
        meters_per_unit('EPSG:32633', np.array([[1e12, 1e12]]))


def test_the_utm_zone_is_that_of_the_hemisphere():
    assert utm_zone(144.9, -37.8).to_epsg() == 32755
    assert utm_zone(13.4, 52.5).to_epsg() == 32633


def test_a_place_between_the_utm_zones_and_a_pole_has_a_polar_system():
    assert utm_zone(15, 85).to_epsg() == 5041
    assert utm_zone(15, -81).to_epsg() == 5042
    assert utm_zone(-180, 10).to_epsg() == 32601
    with pytest.raises(ValueError, match='no place on the Earth'):
        utm_zone(190, 10)
    assert to_degrees('EPSG:4326', (190, 10)) == (-170, 10)
