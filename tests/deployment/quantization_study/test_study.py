"""A study of a network of random weights, to its page; it goes on where it stopped, and refuses what changed."""

import json
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch

from projects.deployment.inference_graphs import load_model
from projects.deployment.quantization.methods import METHODS
from projects.deployment.quantization_study import study as study_module
from projects.deployment.quantization_study.plan import read_study
from projects.deployment.quantization_study.report import write_report
from projects.deployment.quantization_study.study import read_latencies, read_measurements, run_study
from projects.sample_data import use_sample
from projects.sample_data.samples import SAMPLES
from projects.sample_data.test_sets import use_new_test_images
from projects.training.config import load_config
from tests.processes import run_tool

ROOT = Path(__file__).parents[3]
SAMPLE = ROOT / 'configs/quantization/hybrids_sample.py'
KIND = 'CheckedADE20KDataset'
NAME = 'mixers'
NETWORK = f"""# few operations; most weights lie where few pixels are
_base_ = '{ROOT}/configs/mixer_softmax_fpn_ade20k.py'
model = dict(
    backbone=dict(arch=dict(_delete_=True, dims=(16, 24, 32, 256), depths=(1, 1, 1, 1))),
    neck=dict(out_channels=16),
    decode_head=dict(channels=16),
)
"""
STUDY = f"""
_base_ = '{SAMPLE}'
networks = {{{{
    **dict.fromkeys(('shvit_maskrcnn', 'efficientvit_mit', 'mobilevit', 'mobile_former')),
    '{NAME}': dict(title='Mixers', config='{{config}}', checkpoints=['{{checkpoint}}']),
}}}}
methods = {{{{
    **dict.fromkeys({[name for name in METHODS if name not in ('minmax', 'fqvit')]}),
    'fqvit': dict(bits=(8,)),
}}}}
bits = (8, 4)
seeds = (0,)
baselines = ('nncf', 'minmax')
calibration_sets = 2
calibration_images = 10
test_images = 4
draws = 20
sample = False
"""


def write_weights(path, cfg):
    """Random weights with which pixels are of several classes."""
    torch.manual_seed(0)
    model = load_model(cfg)
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 1.5)
    torch.nn.init.normal_(model.decode_head.conv_seg.weight)
    torch.save({'state_dict': model.state_dict()}, path)
    return path


@pytest.fixture(scope='module')
def finished(tmp_path_factory):
    """A study of a small network on images of 64x80."""
    root = tmp_path_factory.mktemp('study')
    with pytest.MonkeyPatch.context() as patch:
        small = replace(SAMPLES[KIND], image_size=(64, 80), num_train_images=20, num_val_images=2)
        patch.setitem(SAMPLES, KIND, small)
        (root / 'network.py').write_text(NETWORK)
        cfg = load_config(root / 'network.py', None, partial(use_sample, root=root / 'data'))
        use_new_test_images(cfg, 4, root=root / 'data')
    cfg.dump(config := root / f'{NAME}.py')
    checkpoint = write_weights(root / 'weights.pth', cfg)
    (root / 'study.py').write_text(STUDY.format(config=config, checkpoint=checkpoint))
    done = run_tool('quantization_study.py', 'study.py', '--work-dir', 'work', cwd=root)
    assert done.returncode == 0, done.stderr
    assert f'report: {Path("work", "report.html")}' in done.stdout
    study = read_study(root / 'study.py')
    return study, root / 'work', partial(run_study, study, root / 'work')


def test_every_candidate_is_measured_in_every_cell(finished):
    _, folder, _ = finished
    keys = {one.key for one in read_measurements(folder)}
    name = f'{NAME}_seed0'
    quantizers = ('nncf_w8a8', 'minmax_w8a8', 'minmax_w4a4', 'fqvit_w8a8', 'fqvit_w8a8_paper')
    expected = {f'{name}_set{i}_{one}' for i in (0, 1) for one in quantizers}
    assert keys == expected | {f'{name}_set0_fp32_w32a32'}


def test_what_was_measured_is_plausible(finished):
    _, folder, _ = finished
    measured = {one.key.removeprefix(f'{NAME}_seed0_'): one for one in read_measurements(folder)}
    exact, eight, four = (measured[f'set0_{key}'] for key in ('fp32_w32a32', 'minmax_w8a8', 'minmax_w4a4'))
    assert exact.fidelity.value == 100
    assert 100 >= eight.fidelity.value > four.fidelity.value
    assert eight.sqnr_db['all'] > four.sqnr_db['all'] + 6
    assert exact.details.int8_share == 0
    assert eight.details.int8_share > 0.5
    assert eight.details.file_bytes < 0.6 * exact.details.file_bytes
    # kernels stray from the simulation by less than the rounding that both have: 20 log10 of it are the decibels
    assert eight.details.runtime_difference < 10 ** (-eight.sqnr_db['all'] / 20)
    assert len(eight.fidelity.resampled) == 20
    assert measured['set1_minmax_w8a8'].details is None
    (latency,) = read_latencies(folder)
    assert set(latency.quartiles_ms) == {'fp32_w32a32', 'nncf_w8a8', 'minmax_w8a8', 'minmax_w4a4', 'fqvit_w8a8'}
    simulated = measured['set0_fqvit_w8a8_paper']
    assert simulated.fidelity.value > 90
    assert simulated.details.int8_share is None


def test_the_test_images_are_nobody_elses(finished):
    _, folder, _ = finished
    data = folder.parent / 'data'
    known, new = (
        {path.read_bytes() for path in (data / part).rglob('*.jpg')}
        for part in ('ADEChallengeData2016', 'ADEChallengeData2016_test4_seed1/images/validation')
    )
    assert len(known) == 22
    assert len(new) == 4
    assert not new & known


def test_the_report_has_every_figure(finished):
    study, folder, _ = finished
    page = write_report(study, folder).read_text()
    assert 'minmax W4A4' in page
    assert 'measurements are missing' not in page
    results = json.loads((folder / 'results.json').read_text())
    assert len(results['measurements']) == 11
    pairs = {(one['candidate']['method'], one['baseline']['method']) for one in results['comparisons']}
    assert pairs == {('minmax', 'nncf'), ('fqvit', 'nncf'), ('fqvit', 'minmax')}
    (restriction,) = results['restrictions']
    assert (restriction['candidate']['form'], restriction['baseline']['form']) == ('executable', 'paper')
    assert 'what integer kernels cost' in page
    assert (folder / 'charts' / 'fidelity.png').is_file()
    assert 'minmax W8A8 beside nncf W8A8' in (folder / 'results.md').read_text()


def test_it_goes_on_where_it_stopped(finished, monkeypatch):
    study, folder, run = finished
    left = folder / 'measurements' / f'{NAME}_seed0_set1_minmax_w4a4.json'
    before = {path: path.stat().st_mtime_ns for path in (folder / 'measurements').iterdir()}
    left.unlink()
    assert f'{study.networks[NAME]["title"]}: 1 of 10 measurements are missing' in write_report(
        study, folder
    ).read_text().replace('&#39;', "'")
    opened = []
    quantize = study_module.Subject.quantize
    monkeypatch.setattr(
        study_module.Subject, 'quantize', lambda self, one, *rest: opened.append(one.key) or quantize(self, one, *rest)
    )
    assert run().failed == {}
    assert opened == ['minmax_w4a4']
    assert {p: p.stat().st_mtime_ns for p in (folder / 'measurements').iterdir() if p != left} == {
        path: time for path, time in before.items() if path != left
    }


def test_what_was_made_from_something_else_is_not_taken(finished):
    _, folder, run = finished
    path = folder / 'measurements' / f'{NAME}_seed0_set0_minmax_w8a8.json'
    text = path.read_text()
    path.write_text(text.replace('"checkpoint": "', '"checkpoint": "other'))
    failed = run().failed
    path.write_text(text)
    assert list(failed) == [path.stem]
    assert 'was made from something else: checkpoint' in failed[path.stem]


def test_unknown_parts_are_refused(finished):
    _, _, run = finished
    with pytest.raises(ValueError, match=r"unknown networks \['resnet'\]; the study has \['mixers'\]"):
        run(networks=('resnet',))
    with pytest.raises(ValueError, match=r"unknown methods \['best'\]; the study has \['nncf', 'minmax', 'fqvit'\]"):
        run(methods=('best',))
