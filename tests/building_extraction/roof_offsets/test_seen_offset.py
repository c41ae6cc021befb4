"""How much of the offsets exact boxes and roofs of rendered scenes show, before anything is learned."""

import json
from collections import defaultdict

import numpy as np
import torch
from pycocotools import mask as mask_api
from torchvision.ops import roi_align

from projects.building_extraction.roof_offsets.offset_height_head import along_common_lean, seen_offset
from projects.sample_data.buildings import write_scenes_sample


def test_all_buildings_show_two_thirds_and_the_consensus_more(tmp_path):
    root = write_scenes_sample(tmp_path / 'roofs', {'test': 6}, 320, off_nadir=True)
    tiles = defaultdict(list)
    for annotation in json.loads((root / 'test/instances.json').read_text())['annotations']:
        tiles[annotation['image_id']].append(annotation)
    errors = []
    for annotations in tiles.values():
        boxes = torch.tensor([annotation['building_bbox'] for annotation in annotations]).float()
        rois = torch.cat((torch.arange(len(boxes))[:, None], boxes[:, :2], boxes[:, :2] + boxes[:, 2:]), 1)
        roofs = np.stack([mask_api.decode(annotation['segmentation']) for annotation in annotations])
        masks = roi_align(torch.from_numpy(roofs[:, None]).float(), rois, 28, aligned=True)
        seen = seen_offset(masks[:, 0]) * boxes[:, 2:]
        true = np.array([annotation['offset'] for annotation in annotations])
        heights_m = torch.tensor([annotation['building_height'] for annotation in annotations])
        together = along_common_lean(seen, heights_m, torch.ones(len(boxes)), torch.zeros(len(boxes)), 1)
        for given in (seen, together):
            errors.append(np.stack([np.linalg.norm(given.numpy() - true, axis=1), np.linalg.norm(true, axis=1)]))
    raw, straight = (np.concatenate(errors[first::2], 1) for first in (0, 1))
    assert raw.shape[1] > 200
    assert straight[0].mean() < raw[0].mean() < 0.35 * raw[1].mean()
    assert straight[0].mean() < 0.3 * raw[1].mean()
    assert np.median(straight[0]) < 0.1 * np.median(raw[1])
