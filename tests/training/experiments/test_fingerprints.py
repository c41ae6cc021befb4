"""A run's digests change with what it is made from, and with nothing else."""

import pytest

from projects.training.experiments.fingerprints import fingerprints
from projects.training.experiments.runs import Run


@pytest.fixture
def run(tmp_path):
    (tmp_path / 'base.py').write_text('lr = 1\n')
    (tmp_path / 'config.py').write_text("_base_ = './base.py'\ndata_root = 'nowhere'\n")
    (tmp_path / 'scenes').mkdir()
    (tmp_path / 'scenes' / 'parameters.json').write_text('{"seed": 0}')
    return Run('a', str(tmp_path / 'config.py'), {'data_root': str(tmp_path / 'scenes')}, {})


def test_digests_follow_what_a_config_inherits_and_the_parameters_of_its_data(run, tmp_path):
    (first,) = fingerprints([run])
    (tmp_path / 'base.py').write_text('lr = 1  # with a remark\n')
    assert fingerprints([run, run]) == [first, first]

    (tmp_path / 'base.py').write_text('lr = 2\n')
    (second,) = fingerprints([run])
    assert second['config_digest'] != first['config_digest']
    assert second['data_digest'] == first['data_digest']

    (tmp_path / 'scenes' / 'parameters.json').write_text('{"seed": 1}')
    (third,) = fingerprints([run])
    assert third['config_digest'] == second['config_digest']
    assert third['data_digest'] != second['data_digest']


def test_without_data_root_the_data_are_those_of_the_config(run, tmp_path):
    (tmp_path / 'config.py').write_text(f'data_root = {str(tmp_path / "scenes")!r}\n')
    here = fingerprints([run])
    assert fingerprints([Run('a', run.config, {}, {})]) == here
    assert here[0]['data_digest']


def test_what_is_absent_has_no_digest(tmp_path):
    absent = Run('a', str(tmp_path / 'no.py'), {'data_root': str(tmp_path)}, {})
    assert fingerprints([absent]) == [{'config_digest': None, 'data_digest': None}]
