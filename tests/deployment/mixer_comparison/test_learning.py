import json

import pytest

from projects.deployment.mixer_comparison import learning
from projects.deployment.mixer_comparison.learning import FOLDER, Task, learn, plan_runs, read_learned
from projects.deployment.mixer_comparison.tables import learning_table, verdict
from projects.training.experiments.runs import Run


def finish(folder, task, mixer, seed, score, length=60):
    place = folder / FOLDER / f'{task}_{mixer}_seed{seed}'
    place.mkdir(parents=True)
    curve = [{'iteration': 1, 'score': 0.0}, {'iteration': 2, 'score': score}]
    about = {'task': task, 'mixer': mixer, 'seed': seed, 'length': length, 'images': 96}
    content = {'run': about, 'score_curve': curve}
    (place / 'result.json').write_text(json.dumps(content))


def test_mixers_are_compared_on_the_seeds_that_both_have(tmp_path):
    for seed, (reference, better, other) in enumerate([(50.0, 60.0, 49.0), (52.0, 61.5, 56.0), (51.0, 61.0, 48.0)]):
        finish(tmp_path, 'ade20k', 'softmax', seed, reference)
        finish(tmp_path, 'ade20k', 'convolution', seed, better)
        finish(tmp_path, 'ade20k', 'channel', seed, other)
    finish(tmp_path, 'ade20k', 'channel', 3, 100.0)
    learned = read_learned(tmp_path)
    assert [one.mixer for one in learned] == ['channel', 'convolution', 'softmax']  # by their means
    noisy, better, reference = learned
    assert reference.beside is None
    assert better.beside.mean == pytest.approx((10 + 9.5 + 10) / 3)
    assert better.beside.low > 0
    assert noisy.spread.n == 4
    assert noisy.beside.n == 3
    assert noisy.beside.mean == pytest.approx((-1 + 4 - 3) / 3)
    assert [verdict(one, learned) for one in learned] == ['not told apart', 'better', '–']
    assert len(learning_table('ade20k', learned).rows) == 3


def test_average_precision_is_in_percent(tmp_path):
    finish(tmp_path, 'coco', 'softmax', 0, 0.42)
    assert read_learned(tmp_path)[0].scores == {0: pytest.approx(42)}


def test_a_task_has_one_budget(tmp_path):
    finish(tmp_path, 'ade20k', 'softmax', 0, 50.0)
    run = Run('longer', 'none.py', {}, {'task': 'ade20k', 'mixer': 'pool', 'seed': 0, 'length': 90, 'images': 96})
    with pytest.raises(ValueError, match='trainings at ade20k of 60 iterations, scored on 96 images, not of 90 iter'):
        learn([run], tmp_path, 1)
    assert learning_table('ade20k', read_learned(tmp_path)).caption.endswith(
        '60 iterations each, scored on 96 new images'
    )


def test_runs_differ_in_mixer_and_seed_alone(tmp_path, monkeypatch):
    config = tmp_path / 'pyramid.py'
    config.write_text(
        "model = dict(backbone=dict(type='MixerPyramid', arch='tiny', mixers=('convolution',) * 4))\n"
        'train_cfg = dict(max_iters=70)\n'
    )
    monkeypatch.setitem(learning.TASKS, 'ade20k', Task('', str(config), 'mIoU', 'mIoU', 'iteration', (96, 64)))
    runs = plan_runs(tmp_path / 'configs', ['ade20k'], ['softmax', 'channel'], (3, 4), lambda cfg: None, images=5)
    assert [run.name for run in runs] == [
        f'ade20k_{mixer}_seed{seed}' for seed in (3, 4) for mixer in ('softmax', 'channel')
    ]
    assert [(run.about['length'], run.about['images']) for run in runs] == [(70, 5)] * 4
    assert [run.options for run in runs] == [{'randomness.seed': seed} for seed in (3, 3, 4, 4)]
    texts = [(tmp_path / 'configs' / f'ade20k_{mixer}.py').read_text() for mixer in ('softmax', 'channel')]
    assert texts[0].replace('softmax', 'channel') == texts[1]
    assert "'image_size': (96, 64)" in texts[0]
