"""Configs by the names of packages, without setuptools."""

import re
import sys
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest

import projects.openmmlab_compat  # isort: skip
import mmdet
import mmengine.hub
import mmseg
import mmseg.utils
from mmengine.config import Config
from mmengine.utils import get_installed_path, is_installed
from torch import nn


@pytest.fixture(autouse=True)
def _no_setuptools(monkeypatch):
    for name in ('pkg_resources', 'setuptools'):
        monkeypatch.setitem(sys.modules, name, None)  # importing it raises ImportError


@pytest.fixture
def distributions(tmp_path, monkeypatch):
    """Packages beside those of Python: an editable one, one whose metadata names nothing, and a namespace."""
    monkeypatch.setattr(sys, 'path', [str(tmp_path / 'site'), str(tmp_path / 'source'), *sys.path])
    for name, modules in (('one-editable', 'one_module\n'), ('no_names', '')):
        folder = tmp_path / 'site' / f'{name.replace("-", "_")}-1.0.dist-info'
        folder.mkdir(parents=True)
        (folder / 'METADATA').write_text(f'Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n')
        (folder / 'top_level.txt').write_text(modules)
    for module in ('one_module', 'no_names'):
        (tmp_path / 'source' / module).mkdir(parents=True)
        (tmp_path / 'source' / module / '__init__.py').touch()
    (tmp_path / 'source' / 'a_namespace').mkdir()
    return tmp_path / 'source'


def test_base_of_another_package(tmp_path):
    (tmp_path / 'own.py').write_text(
        "_base_ = ['mmdet::_base_/models/retinanet_r50_fpn.py', 'mmseg::_base_/schedules/schedule_20k.py']\n"
        'model = dict(bbox_head=dict(num_classes=3))\n'
    )
    cfg = Config.fromfile(tmp_path / 'own.py')
    assert (cfg.model.bbox_head.num_classes, cfg.model.bbox_head.in_channels) == (3, 256)
    assert cfg.train_cfg.max_iters == 20000


def test_configs_and_models_of_the_hub():
    cfg = mmengine.hub.get_config('mmdet::faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py', pretrained=True)
    assert cfg.model.type == 'FasterRCNN'
    assert cfg.model_path.startswith('https://download.openmmlab.com/mmdetection/')
    model = mmengine.hub.get_model('mmseg::bisenetv2/bisenetv2_fcn_4xb4-160k_cityscapes-1024x1024.py')
    assert isinstance(model, nn.Module)
    assert type(model).__name__ == 'EncoderDecoder'
    with pytest.raises(FileNotFoundError, match='no_such_config'):
        mmengine.hub.get_config('mmdet::faster_rcnn/no_such_config.py')


def test_folders():
    assert get_installed_path('mmdet') == str(Path(mmdet.__file__).parent)
    assert get_installed_path('mmsegmentation') == get_installed_path('mmseg') == str(Path(mmseg.__file__).parent)
    with pytest.raises(PackageNotFoundError, match='mmpretrain'):
        get_installed_path('mmpretrain')


def test_folders_of_unusual_packages(distributions):
    assert get_installed_path('one-editable') == str(distributions / 'one_module')
    assert get_installed_path('no_names') == str(distributions / 'no_names')
    with pytest.raises(RuntimeError, match='a_namespace is a namespace package'):
        get_installed_path('a_namespace')


def test_what_is_installed(distributions):
    assert is_installed('mmsegmentation')
    assert is_installed('mmseg')  # a module, not a distribution
    assert is_installed('one-editable')
    assert not is_installed('mmpretrain')
    assert not is_installed('a_namespace')


def test_who_imports_openmmlab_imports_the_layer_first():
    root = Path(projects.openmmlab_compat.__file__).parents[1]
    for path in root.rglob('*.py'):
        if 'openmmlab_compat' in path.parts or not re.search(
            r'^\s*(from|import) mm(cv|det|seg)\b', path.read_text(), re.M
        ):
            continue
        packages = [folder / '__init__.py' for folder in path.parents if folder.is_relative_to(root)]
        above = re.split(r'\b(?:from|import) mm', path.read_text())[0]
        before = [above, *(package.read_text() for package in packages)]
        assert any('import projects.openmmlab_compat' in text for text in before), path
