"""What to type next: the command that trains on data that `tools/prepare_data.py` has just written."""

import json
import shlex
from collections.abc import Sequence
from pathlib import Path

from mmengine.config import Config

ROOT = Path(__file__).resolve().parents[3]
CONFIGS = {  # for what each sub-command writes
    'geotiles': 'configs/shvit_maskrcnn_buildings.py',
    'geotiff': 'configs/buildings/shvit_unet_tiles.py',
    'scenes': 'configs/buildings/shvit_unet_scenes_teacher.py',
    'bonai': 'configs/buildings/shvit_unet_bonai.py',
    'annotations': 'configs/shvit_maskrcnn_buildings.py',
}
WITHOUT_VALIDATION = ('val_dataloader=None', 'val_cfg=None', 'val_evaluator=None')


def training_command(written_by: str, out: Path, tool: Sequence[str] = ('tools/train.py',)) -> str:
    """The command that trains on what was written, to be typed in the same folder.

    Args:
        written_by: A sub-command, of `CONFIGS`.
        out: What it was told to write: a folder, of BONAI a file in the folder `coco` of its data.
        tool: Words by which `tools/train.py` is called.

    Returns:
        One line; of BONAI with the files that are still missing.
    """
    root = out.parent.parent if written_by == 'bonai' else out
    options = [f'data_root={root}/']  # the slash keeps a number from being read as one
    if not _has_validation(written_by, out):
        options += WITHOUT_VALIDATION
    if written_by == 'annotations':
        content = json.loads((out / 'annotations/train.json').read_text())
        names = [category['name'] for category in content['categories']]
        options.append(f'train_dataloader.dataset.data_prefix.img={content["info"]["images"]}/')
        if names != ['building']:
            options.append(f'train_dataloader.dataset.metainfo.classes={json.dumps(names)}')
            heads = ('bbox_head', 'mask_head')
            options += [f'model.roi_head.{head}.num_classes={len(names)}' for head in heads]
    command = shlex.join([*tool, CONFIGS[written_by], '--cfg-options', *options])
    missing = _missing_files(root) if written_by == 'bonai' else []
    return command + (f' (once {root} has {", ".join(missing)})' if missing else '')


def _has_validation(written_by: str, out: Path) -> bool:
    if written_by == 'annotations':
        return False
    if written_by == 'geotiff':
        return any((out / 'val' / 'masks').glob('*'))
    if written_by == 'geotiles':
        return bool(json.loads((out / 'annotations' / 'val.json').read_text())['images'])
    return True


def _missing_files(root: Path) -> list[str]:
    """Annotation files that the config of BONAI trains on and validates with, and that are not there."""
    cfg = Config.fromfile(ROOT / 'configs' / '_base_' / 'datasets' / 'bonai.py')
    datasets = [*cfg.train_dataloader.dataset.parts, cfg.val_dataloader.dataset]
    return [dataset.ann_file for dataset in datasets if not (root / dataset.ann_file).is_file()]
