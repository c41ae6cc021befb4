"""Kept configs of earlier runs."""

from pathlib import Path

from mmengine.registry import HOOKS

from projects.training.config import load_config

CONFIG = Path(__file__).parents[3] / 'configs' / 'buildings' / 'shvit_unet_scenes_student.py'


def test_a_config_that_an_earlier_run_kept_finds_the_hook_that_it_names(tmp_path):
    imports = [*load_config(CONFIG).custom_imports.imports, 'projects.building_extraction.transfer_study.hooks']
    kept = tmp_path / 'kept.py'
    kept.write_text(
        f"_base_ = '{CONFIG}'\n"
        f'custom_imports = dict(_delete_=True, imports={imports!r}, allow_failed_imports=False)\n'
        "custom_hooks = [dict(type='RecordCurve')]\n"
    )
    (hook,) = load_config(kept).custom_hooks
    assert HOOKS.build(hook).keys == {'f1': 'building/f1'}
