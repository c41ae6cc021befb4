"""What `tools/prepare_data.py` says to type next."""

import json

import pytest

from projects.building_extraction.preparation.training_commands import CONFIGS, ROOT, training_command


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
