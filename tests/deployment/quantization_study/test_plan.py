"""Study files: what they become, and what is refused in one line."""

from pathlib import Path

import pytest

from projects.deployment.benchmark.timing import Quartiles
from projects.deployment.quantization.methods import METHODS
from projects.deployment.quantization_study.plan import plan_trainings, read_study
from projects.deployment.quantization_study.records import (
    Candidate,
    Cell,
    Details,
    Latency,
    Measurement,
    Score,
)

ONLY_MINMAX = {
    **dict.fromkeys(f'methods.{name}' for name in METHODS if name != 'minmax'),
    'baselines': ('nncf', 'minmax'),
}
SAMPLE = Path(__file__).parents[3] / 'configs/quantization/hybrids_sample.py'


def test_candidates_and_cells():
    study = read_study(SAMPLE, ONLY_MINMAX | {'methods.minmax.bits': (8, 6)})
    assert [one.key for one in study.candidates()] == ['fp32_w32a32', 'nncf_w8a8', 'minmax_w8a8', 'minmax_w6a6']
    cells = study.cells()
    assert len(cells) == 4 * 3 * 3
    assert [cell.network for cell in cells[:4]] == list(study.networks)
    assert {cell.calibration for cell in cells[:12]} == {0}


def test_a_method_is_for_the_networks_that_it_names():
    study = read_study(SAMPLE)
    methods = {name: {one.method for one in study.candidates(name)} for name in study.networks}
    assert [name for name in study.networks if 'trio' in methods[name]] == ['efficientvit_mit']
    assert all('qhyvit' in each for each in methods.values())


@pytest.mark.parametrize('path', sorted(SAMPLE.parent.glob('*.py')), ids=lambda path: path.stem)
def test_studies_can_be_read_and_name_configs_that_exist(path):
    study = read_study(path)
    assert len(study.candidates()) > 3
    assert all(Path(SAMPLE.parents[2], network['config']).is_file() for network in study.networks.values())


def test_titles_say_what_is_simulated():
    assert Candidate('mse', 6).title == 'mse W6A6'
    assert Candidate('mse', 4, reconstruct=False).is_executed
    assert Candidate('fp32', 32).title == 'fp32'
    paper = Candidate('fqvit', 6, 'paper')
    assert (paper.key, paper.title) == ('fqvit_w6a6_paper', "fqvit W6A6 (paper's form, simulated)")
    assert not paper.is_executed


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        ({'methods.better': {}}, "method 'better': expected one of nncf, minmax"),
        ({'methods.mse.bits': (5,)}, '5 bits of mse: expected one of 8, 6, 4'),
        ({'methods.mse.forms': ('paper',)}, "mse has no form 'paper'"),
        ({'methods.nncf.bits': (6,)}, 'nncf has 8 bits and one form'),
        ({'methods.mse.bit': (8,)}, r"methods.mse: unknown keys \['bit'\]"),
        (
            {'methods.trio.networks': ('resnet',)},
            r"trio.networks \['resnet'\]: expected some of \['shvit",
        ),
        ({'calibration_images': 4}, 'calibration_images = 4: expected 10 at least'),
        ({'test_images': 0}, 'test_images = 0; expected 1 or more'),
        ({'baselines': ('minmax', 'brecq')}, r"baselines \['brecq'\] are not among the methods"),
        ({'networks.a': {'title': 'A'}}, r"networks.a: missing keys \['config'\]"),
        ({'networks.mobilevit.checkpoints': ('a.pth',)}, r'mobilevit has 1 checkpoints for the seeds \[0, 1, 2\]'),
        ({'networks.a': None}, None),
    ],
)
def test_what_does_not_go_together_is_refused(options, message):
    if message is None:
        assert 'a' not in read_study(SAMPLE, options).networks
        return
    with pytest.raises(ValueError, match=message):
        read_study(SAMPLE, options)


def test_there_is_no_such_study():
    with pytest.raises(FileNotFoundError, match=r'no study nothing.py; configs/quantization/hybrids_sample.py is one'):
        read_study(Path('nothing.py'))


def test_trainings_take_the_options_of_the_study(tmp_path):
    study = read_study(SAMPLE, {'seeds': (3, 4)})
    runs = plan_trainings(study, tmp_path, None)
    assert [run.name for run in runs][::4] == ['shvit_maskrcnn_seed3', 'shvit_maskrcnn_seed4']
    assert runs[-1].options == {'randomness.seed': 4}
    assert "'arch': '26m'" in (tmp_path / 'mobile_former.py').read_text()


def test_records_come_back_from_json():
    one = Measurement(
        Cell('net', 1, 2),
        Candidate('mse', 6),
        Score(88.5, (88.0, 89.0)),
        Score(40.0),
        {'cls': 30.0, 'all': 30.0},
        12.5,
        Details(0.97, 1000, 0.01, 0.02),
        {'checkpoint': 'abc'},
    )
    assert Measurement.from_json(one.to_json()) == one
    assert one.key == 'net_seed1_set2_mse_w6a6'
    latency = Latency('net', (64, 96), 'a processor', 2, {'mse_w8a8': Quartiles(1.0, 2.0, 3.0)})
    assert Latency.from_json(latency.to_json()) == latency
