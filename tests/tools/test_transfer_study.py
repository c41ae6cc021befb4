"""Study and grid for real: a tiny city, a few steps, reports from what the runs leave."""

import json
from pathlib import Path

import pytest
from filelock import FileLock

from tests.processes import run_tool

ROOT = Path(__file__).parents[2]
STUDY = f"""
_base_ = '{ROOT}/configs/buildings/study_sample.py'

data = dict(
    city=dict(footprints=[], otherwise=dict(size_m=700, seed=0)),
    gsd_m=1.0,
    tile_px=64,
    domains=dict(
        source=dict(num_tiles=4, off_nadir_deg=(10, 20)),
        target=dict(num_tiles=4),
        val=dict(num_tiles=2),
        test=dict(num_tiles=3),
    ),
    ground_shares=dict(source=1, target=1, val=1, test=1),
    gap_off_nadir_deg=dict(source=20),
)
target_tiles = 3
replicates = 1
methods = dict(
    teacher=dict(steps=2, trials=[{{'optim_wrapper.optimizer.lr': rate}} for rate in (1e-3, 2e-3)]),
    kd=dict(steps=2, trials=[{{'model.alpha': alpha}} for alpha in (0.5, 0.1)]),
    **dict.fromkeys(
        'student student_long mixed kd_hard dml sda sda_aligned gradual sda_half kd_sda'.split(), None
    ),
)
num_panels = 1
options = {{
    'train_dataloader.batch_size': 2,
    'train_dataloader.dataset.pipeline.2.crop_size': 64,
    'default_hooks.logger.interval': 1,
}}
step_options = {{'train_cfg.val_interval': 1 / 2, 'default_hooks.checkpoint.interval': 1 / 2}}
"""
GRID = f"""
_base_ = '{ROOT}/configs/buildings/grid_lite0.py'

encoders = ('tinynet_e', 'vit_tiny_patch16_224')
data = dict(
    city=dict(footprints=[], otherwise=dict(size_m=700, seed=0)),
    gsd_m=1.0,
    tile_px=64,
    domains=dict(target=dict(num_tiles=4), val=dict(num_tiles=2), test=dict(num_tiles=3)),
    ground_shares=dict(target=1, val=1, test=1),
)
target_tiles = 4
steps = 2
replicates = 1
options = {{
    'model.backbone.pretrained': False,
    'train_dataloader.dataset.pipeline.2.crop_size': 64,
    'default_hooks.logger.interval': 1,
}}
step_options = {{'train_cfg.val_interval': 1 / 2, 'default_hooks.checkpoint.interval': 1 / 2}}
"""


def run(tool, *arguments, code=0):
    result = run_tool(tool, *arguments, cwd=Path.cwd(), PYTHONPATH=str(ROOT))
    assert result.returncode == code, result.stdout + result.stderr
    return result.stdout + result.stderr


@pytest.fixture(scope='session')
def study(tmp_path_factory, worker_id):
    """Made by the process of the tests that needs it first; the others wait for it."""
    shared = tmp_path_factory.getbasetemp() if worker_id == 'master' else tmp_path_factory.getbasetemp().parent
    folder = shared / 'a study'  # with a blank
    file, output = folder / 'tiny.py', folder / 'output.txt'
    with FileLock(shared / 'study.lock'):
        if not output.is_file():
            folder.mkdir(exist_ok=True)
            file.write_text(STUDY)
            output.write_text(run('transfer_study.py', file, '--methods', 'kd', '--work-dir', folder / 'out'))
    return file, folder / 'out', output.read_text()


def test_a_study_trains_scores_the_test_set_and_reports(study):
    _, folder, output = study
    assert 'report.html' in output
    results = {path.parent.name: json.loads(path.read_text()) for path in folder.glob('runs/*/result.json')}
    trials = {f'tuning_{method}_t{number}' for method in ('teacher', 'kd') for number in (0, 1)}
    baselines = {f'main_{name}_r0' for name in ('everything', 'nothing', 'brightness')}
    assert set(results) == {'main_teacher_r0', 'main_kd_r0'} | trials | baselines
    assert not any('scores' in results[name] or 'counts' in results[name] for name in trials)
    for name in ('main_teacher_r0', 'main_kd_r0', 'main_brightness_r0'):
        counts = results[name]['counts']['pixels'].values()
        assert (
            sum(count for each in counts for count in each.values()) + results[name]['background_pixels'] == 3 * 64**2
        )
        assert len(results[name]['images']) == 3
        tp = sum(row[0] for image in results[name]['images'].values() for row in image.values())
        assert tp == sum(each['tp'] for each in counts)
    for name in ('main_teacher_r0', 'main_kd_r0'):
        result = results[name]
        assert [point['iteration'] for point in result['f1_curve']] == [1, 2]
        assert len(result['loss_curve']) == 2
    study = json.loads((folder / 'study.json').read_text())
    tile = study['panel_tiles'][0]
    chosen = {method['name']: method['chosen'] for method in study['methods']}
    assert chosen['kd'] in [{'model.alpha': alpha} for alpha in (0.5, 0.1)]
    spec = json.loads((folder / 'runs' / 'main_kd_r0' / 'run.json').read_text())
    assert chosen['kd'].items() <= spec['options'].items()
    assert len(spec['options']['train_dataloader.dataset.indices']) == 3
    assert list((folder / 'runs' / 'main_kd_r0').glob('best_building_f1_iter_*.pth'))
    assert (folder / 'runs' / 'main_kd_r0' / 'predictions' / f'{tile}.png').is_file()
    for name in ('results.json', 'results.md', 'charts/panels.png', 'charts/f1_per_height_class.png'):
        assert (folder / name).stat().st_size > 1000
    assert 'loaded the teacher' in (folder / 'runs' / 'main_kd_r0' / 'console.log').read_text()


def test_a_study_does_nothing_twice(study):
    file, folder, _ = study
    before = {path: path.stat().st_mtime_ns for path in folder.glob('runs/*/*') if path.is_file()}
    scenes = {path: path.stat().st_mtime_ns for path in folder.glob('tiles/main_r0/*.json')}
    run('transfer_study.py', file, '--methods', 'kd', '--work-dir', folder)
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert {path: path.stat().st_mtime_ns for path in scenes} == scenes


def test_a_run_can_be_scored_by_itself(study):
    _, folder, _ = study
    run_folder = folder / 'runs' / 'main_kd_r0'
    out = folder.parent / 'scores'
    run(
        'test.py',
        run_folder / 'shvit_unet_scenes_kd.py',
        next(run_folder.glob('best_*.pth')),
        '--out',
        out,
        '--work-dir',
        out,
    )
    scores = json.loads((folder.parent / 'scores.json').read_text())
    result = json.loads((run_folder / 'result.json').read_text())
    assert scores['counts'] == result['counts']


def test_the_grid_ranks_networks_and_names_those_that_failed(tmp_path):
    grid, out = tmp_path / 'grid.py', tmp_path / 'grid'
    grid.write_text(GRID)
    listed = run('benchmark_grid.py', grid, '--encoders', 'all', '--decoders', 'DeepLabV3Plus', '--list')
    assert listed.split() == ['tinynet_e_DeepLabV3Plus_dice_Adam', 'vit_tiny_patch16_224_DeepLabV3Plus_dice_Adam']
    arguments = ('--encoders', 'all', '--decoders', 'DeepLabV3Plus', '--work-dir', out, '--num-processes', 2)
    output = run('benchmark_grid.py', grid, *arguments, code=1)
    assert 'failed: main_vit_tiny_patch16_224_DeepLabV3Plus_dice_Adam_r0' in output
    ranking = (out / 'ranking.md').read_text()
    assert '| 1 | tinynet_e | DeepLabV3Plus | dice | Adam |' in ranking
    assert '| – | All building | – | – | – | – |' in ranking
    assert 'vit_tiny' in ranking.split('Runs without a result')[1]
    assert (out / 'ranking.csv').read_text().splitlines()[1].startswith('1,tinynet_e,DeepLabV3Plus,dice,Adam,1,')
    before = (out / 'ranking.md').stat().st_mtime_ns
    run('benchmark_grid.py', grid, *arguments, '--report-only')
    assert (out / 'ranking.md').stat().st_mtime_ns > before
