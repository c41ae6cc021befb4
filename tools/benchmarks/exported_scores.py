"""AP of exported detectors on new generated images, and how far each is from the first, with intervals over images.

    python tools/benchmarks/exported_scores.py configs/shvit_s1_maskrcnn_coco.py FP32.xml BF16.xml …

Each file is scored as by `tools/test.py`, and again from the detections that this wrote, of boxes and of masks, in
resamples of the images that all files share. Counted are also the likely boxes of the first file at whose places each
other one has a box of the class.
"""

import argparse
import copy
import json
import tempfile
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
from faster_coco_eval import COCO
from mmengine.config import Config
from pycocotools import mask as coco_masks

from projects.deployment.quantization_study.evidence import MOST_PER_CLASS, BoxAP, match, resamplings
from projects.deployment.quantization_study.test_set import FIDELITY_SCORE
from projects.deployment.scoring import scores_of
from projects.reporting.tables import Table
from projects.sample_data import use_sample
from projects.sample_data.test_sets import use_new_test_images
from projects.training.config import load_config
from projects.training.experiments.intervals import LEVEL
from projects.training.launch import set_up, write_results

KINDS = {'bbox': 'bbox', 'segm': 'segmentation'}
LEAST_IOU = 0.9  # from which on a box lies where another one does


def main() -> None:
    """Score, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config')
    parser.add_argument('files', nargs='+')
    parser.add_argument('--images', type=int, default=256)
    parser.add_argument('--draws', type=int, default=200)
    args = parser.parse_args()
    cfg = load_config(args.config, None, use_sample)
    use_new_test_images(cfg, args.images)
    found = [detections(cfg, file) for file in args.files]
    truth = COCO(cfg.test_evaluator.ann_file)
    weights = np.concatenate([np.ones((1, len(truth.imgs)), int), resamplings(len(truth.imgs), args.draws)])
    scores = {kind: [evidence(truth, one[kind], kind).score(weights) for one in found] for kind in KINDS}
    rows = []
    for index, file in enumerate(args.files):
        row = [Path(file).stem]
        for kind in KINDS:
            differences = scores[kind][index] - scores[kind][0]
            low, high = np.percentile(differences[1:], (50 - 50 * LEVEL, 50 + 50 * LEVEL))
            row += [f'{scores[kind][index][0]:.2f}', f'{differences[0]:+.2f} ({low:+.2f} to {high:+.2f})']
        rows.append([*row, f'{100 * share_found(found[0]["bbox"], found[index]["bbox"]):.1f} %'])
    names = [name for kind in ('box', 'mask') for name in (f'{kind} AP', f'beside the first ({LEVEL:.0%})')]
    print(Table('', ['file', *names, f'boxes of the first at IoU {LEAST_IOU}'], rows).text())


def detections(cfg: Config, file: str) -> dict[str, list[dict[str, Any]]]:
    """In COCO's format, of each kind."""
    cfg = copy.deepcopy(cfg)
    with tempfile.TemporaryDirectory() as folder:
        write_results(cfg, Path(folder, 'found'))
        set_up(cfg, Path(folder, 'log'), 'none')
        scores_of(cfg, file)
        return {kind: json.loads(Path(folder, f'found.{kind}.json').read_text(encoding='utf-8')) for kind in KINDS}


def evidence(truth: COCO, found: list[dict[str, Any]], kind: str) -> BoxAP:
    """Which detections are right at which IoU."""
    images, classes = sorted(truth.imgs), sorted(truth.cats)
    objects = np.zeros((len(images), len(classes)), int)
    there, mine = defaultdict(list), defaultdict(list)
    for annotation in truth.dataset['annotations']:
        place = images.index(annotation['image_id']), classes.index(annotation['category_id'])
        there[place].append(annotation)
        objects[place] += not annotation['iscrowd']
    for one in found:
        mine[images.index(one['image_id']), classes.index(one['category_id'])].append(one)
    columns: list[list[np.ndarray]] = [[], [], [], []]
    for place, ones in mine.items():
        strongest = sorted(ones, key=lambda one: -one['score'])[:MOST_PER_CLASS]
        theirs = [one['bbox'] if kind == 'bbox' else truth.annToRLE(one) for one in there[place]]
        crowds = [one['iscrowd'] for one in there[place]]
        ious = np.zeros((len(strongest), 0))
        if theirs:
            ious = coco_masks.iou([one[KINDS[kind]] for one in strongest], theirs, crowds)
        columns[0].append(np.array([one['score'] for one in strongest]))
        columns[1].append(np.full(len(strongest), place[0]))
        columns[2].append(np.full(len(strongest), place[1]))
        columns[3].append(match(ious, np.array(crowds, bool)))
    return BoxAP(*map(np.hstack, columns), objects)


def share_found(reference: list[dict[str, Any]], found: list[dict[str, Any]]) -> float:
    """Of the likely boxes of the one, those at whose place the other has a box of the class."""
    places = defaultdict(list)
    for one in found:
        places[one['image_id'], one['category_id']].append(one['bbox'])
    likely = [one for one in reference if one['score'] >= FIDELITY_SCORE]
    hits = []
    for one in likely:
        others = places[one['image_id'], one['category_id']]
        hits.append(bool(others) and coco_masks.iou([one['bbox']], others, [0] * len(others)).max() >= LEAST_IOU)
    return float(np.mean(hits))


if __name__ == '__main__':
    main()
