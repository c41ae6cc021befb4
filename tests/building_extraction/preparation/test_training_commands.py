"""What `tools/prepare_data.py` says to type next."""

import argparse
import json
import shlex

import pytest
from mmdet.registry import DATASETS
from mmengine.registry import DefaultScope
from PIL import Image

from projects.building_extraction.preparation.sources import add_sources
from projects.building_extraction.preparation.training_commands import CONFIGS, ROOT, training_command
from projects.command_line import ConfigOptions
from projects.training.config import load_config


def test_the_configs_exist():
    assert all((ROOT / config).is_file() for config in CONFIGS.values())


def test_a_set_with_validation_needs_its_folder_alone(tmp_path):
    (tmp_path / 'my set/val/masks').mkdir(parents=True)
    (tmp_path / 'my set/val/masks/a.png').touch()
    command = training_command('geotiff', tmp_path / 'my set')
    assert (
        command == f"tools/train.py configs/buildings/shvit_unet_tiles.py --cfg-options 'data_root={tmp_path}/my set/'"
    )


@pytest.mark.parametrize('written_by', ['geotiff', 'geotiles'])
def test_a_set_without_validation_is_trained_without(tmp_path, written_by):
    (tmp_path / 'annotations').mkdir()
    (tmp_path / 'annotations/val.json').write_text(json.dumps({'images': []}))
    command = training_command(written_by, tmp_path)
    assert command.endswith(f' data_root={tmp_path}/ val_dataloader=None val_cfg=None val_evaluator=None')


def test_of_bonai_the_missing_files_are_named(tmp_path):
    (tmp_path / 'coco').mkdir()
    for city in ('shanghai', 'beijing', 'chengdu', 'jinan'):
        (tmp_path / f'coco/bonai_{city}_trainval.json').touch()
    out = tmp_path / 'coco/bonai_shanghai_trainval.json'
    command = f'tools/train.py configs/buildings/shvit_unet_bonai.py --cfg-options data_root={tmp_path}/'
    assert training_command('bonai', out) == f'{command} (once {tmp_path} has coco/bonai_haerbin_trainval.json)'
    (tmp_path / 'coco/bonai_haerbin_trainval.json').touch()
    assert training_command('bonai', out) == command


@pytest.mark.parametrize('labels', [['building'], ['roof', 'tree']])
def test_what_was_drawn_is_a_data_set_of_the_config_that_is_named(tmp_path, labels):
    (tmp_path / 'my images/north').mkdir(parents=True)
    Image.new('RGB', (64, 48)).save(tmp_path / 'my images/north/a.png')
    shapes = ''.join(f'<box label="{label}" xtl="1" ytl="2" xbr="9" ybr="8"/>' for label in labels)
    image = f'<image id="0" name="upload/a.png" width="64" height="48">{shapes}</image>'
    (tmp_path / 'a.xml').write_text(f'<annotations>{image}</annotations>')
    parser = argparse.ArgumentParser()
    add_sources(parser)
    given = ['--annotations', str(tmp_path / 'a.xml'), '--images', str(tmp_path / 'my images')]
    args = parser.parse_args(['annotations', *given, '--out', str(tmp_path / 'set')])
    assert args.prepare(args) == f'read       1 images, {len(labels)} objects of {", ".join(labels)}'
    with pytest.raises(FileExistsError, match='--overwrite'):
        args.prepare(args)
    words = shlex.split(training_command('annotations', args.out))
    options = argparse.ArgumentParser()
    options.add_argument('--cfg-options', nargs='+', action=ConfigOptions)
    cfg = load_config(ROOT / words[1], options.parse_args(words[2:]).cfg_options)
    with DefaultScope.overwrite_default_scope('mmdet'):
        data_set = DATASETS.build(cfg.train_dataloader.dataset)
    record = data_set.get_data_info(0)
    assert record['img_path'] == str(tmp_path / 'my images/north/a.png')
    assert [one['bbox_label'] for one in record['instances']] == list(range(len(labels)))
    assert record['instances'][0]['bbox'] == [1, 2, 9, 8]
    assert cfg.model.roi_head.bbox_head.num_classes == len(labels)
    assert cfg.val_dataloader is None
