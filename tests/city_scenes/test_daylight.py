import numpy as np
import pytest

from projects.city_scenes.daylight import Daylight, sun_position
from projects.city_scenes.domains import Domain


@pytest.mark.parametrize(
    ('latitude_deg', 'day', 'hour', 'elevation_deg', 'azimuth_deg'),
    [
        (60.0, 172, 12.0, 90 - 60 + 23.45, 180.0),  # the solstices: declination 23.45 degrees
        (60.0, 355, 12.0, 90 - 60 - 23.45, 180.0),
        (-37.8, 355, 12.0, 90 - 37.8 + 23.45, 0.0),
        (10.0, 172, 12.0, 90 - 23.45 + 10, 0.0),  # within the tropics the sun passes in the north
        (0.0, 80, 9.0, 45.0, 90.0),  # the equinox, seen from the equator
        (0.0, 80, 15.0, 45.0, 270.0),
    ],
)
def test_the_sun_stands_where_solstices_and_equinoxes_say(latitude_deg, day, hour, elevation_deg, azimuth_deg):
    elevation, azimuth = sun_position(latitude_deg, day, hour)
    assert elevation == pytest.approx(elevation_deg, abs=0.5)
    assert abs((azimuth - azimuth_deg + 180) % 360 - 180) < 1.0


def test_shadows_of_northern_cities_fall_north_and_of_southern_ones_south():
    for latitude_deg, side in ((50.0, 1), (-50.0, -1)):
        domain, random = Domain(1, daylight=Daylight(latitude_deg)), np.random.default_rng(0)
        shadows = np.array([domain.draw(1, random).sun.shadow_m for _ in range(200)])
        assert (side * shadows[:, 1] > 0).all()
        assert (shadows[:, 0] > 0).any()
        assert (shadows[:, 0] < 0).any()


def test_one_date_and_hour_are_one_sun_high_enough_and_later_in_the_west():
    morning, evening = (Daylight(48.0, ('06-21', '06-21'), (hour, hour)).draw(0.5) for hour in (9.0, 15.0))
    assert morning.elevation_deg == pytest.approx(evening.elevation_deg)
    assert morning.azimuth_deg == pytest.approx(360 - evening.azimuth_deg)
    assert 90 < morning.azimuth_deg < 180


def test_dates_may_run_over_the_new_year_and_low_suns_are_left_out():
    winter = Daylight(48.0, ('12-01', '02-28'), (12.0, 12.0))
    elevations = [winter.draw(chance).elevation_deg for chance in np.linspace(0, 0.999, 90)]
    assert 18 < min(elevations) < 19
    assert 33 < max(elevations) < 34
    assert min(Daylight(62.0).draw(chance).elevation_deg for chance in np.linspace(0, 0.999, 500)) >= 15


@pytest.mark.parametrize(
    ('wrong', 'message'),
    [
        ({'latitude_deg': 91.0}, 'latitude_deg = 91'),
        ({'dates': ('06-31', '07-01')}, r"'06-31' is no day of the year; expected MM-DD"),
        ({'dates': ('noon', '07-01')}, 'MM-DD'),
        ({'hours': (14.0, 10.0)}, 'earliest and the latest'),
        ({'latitude_deg': 70.0, 'dates': ('12-01', '12-31')}, 'at latitude 70 the sun is'),
    ],
)
def test_impossible_times_are_refused(wrong, message):
    with pytest.raises(ValueError, match=message):
        Daylight(**({'latitude_deg': 48.0} | wrong))
