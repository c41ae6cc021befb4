import numpy as np
import pytest
from pycocotools import mask as mask_api
from pycocotools.coco import COCO

from projects.building_extraction.preparation.scenes.building_coco import annotate, outline
from projects.building_extraction.preparation.tile_set import WrittenTile, coco_file
from projects.city_scenes.labels import BuildingRecord


def record(instance, height_m=20.0, offset_px=(3.0, -4.0)):
    return BuildingRecord(instance, 7, height_m, 1, offset_px, 1.0)


@pytest.fixture
def maps():
    """Roof of building 1 at columns 5 to 9 and rows 4 to 7, with a hole; its footprint is 3 to the left, 4 down."""
    roof, footprint = np.zeros((20, 20), dtype=np.int32), np.zeros((20, 20), dtype=np.int32)
    roof[4:8, 5:10] = footprint[8:12, 2:7] = 1
    roof[5, 6] = 0
    footprint[15:, 15:] = 2
    return roof, footprint


def test_the_mask_is_the_label_with_its_holes(maps):
    roof, footprint = maps
    (annotation,) = annotate(roof, roof, footprint, [record(1)])
    assert (mask_api.decode(annotation['segmentation']) == (roof == 1)).all()
    assert annotation['area'] == 19
    assert annotation['bbox'] == [5, 4, 5, 4]
    assert annotation['iscrowd'] == 0


def test_bonai_s_fields_say_where_roof_and_footprint_are(maps):
    roof, footprint = maps
    first, second = annotate(footprint, roof, footprint, [record(1), record(2, np.nan, (np.nan, np.nan))])
    assert first['bbox'] == first['footprint_bbox'] == [2, 8, 5, 4]
    assert first['roof_bbox'] == [5, 4, 5, 4]
    assert first['building_bbox'] == [2, 4, 8, 8]
    assert first['offset'] == [3, -4]
    assert first['building_height'] == 20
    assert (np.add(first['footprint_bbox'][:2], first['offset']) == first['roof_bbox'][:2]).all()
    assert second['building_height'] is None
    assert second['offset'] is None
    assert second['roof_mask'] == second['roof_bbox'] == []
    assert second['building_bbox'] == [15, 15, 5, 5]


def test_outlines_run_along_the_corners_of_the_pixels(maps):
    _, footprint = maps
    points = np.reshape(outline(footprint, 1, (2, 8, 7, 12)), (-1, 2))
    assert sorted(map(tuple, points.tolist())) == [(2, 8), (2, 12), (7, 8), (7, 12)]


def test_buildings_without_pixels_in_the_label_are_left_out(maps):
    roof, footprint = maps
    assert [a['area'] for a in annotate(roof, roof, footprint, [record(1), record(2)])] == [19]
    assert annotate(np.zeros_like(roof), roof, footprint, [record(1)]) == []


def test_the_file_is_read_by_pycocotools_and_numbers_run_over_all_tiles(maps, tmp_path):
    import json

    roof, footprint = maps
    own = annotate(footprint, roof, footprint, [record(1), record(2)])
    image = {'file_name': 'a.png', 'width': 20, 'height': 20}
    (tmp_path / 'set.json').write_text(json.dumps(coco_file([WrittenTile(image, own)] * 2, {})))
    coco = COCO(tmp_path / 'set.json')
    assert sorted(coco.anns) == [1, 2, 3, 4]
    assert sorted(coco.imgs) == [1, 2]
    assert coco.cats[1]['name'] == 'building'
    assert (coco.annToMask(coco.anns[4]) == (footprint == 2)).all()
    assert coco.anns[3]['image_id'] == 2
