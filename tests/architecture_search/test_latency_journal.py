import json

import pytest

from projects.architecture_search.latency import journal
from projects.architecture_search.latency.journal import Journal, describe


def test_what_was_measured_is_found_again(tmp_path):
    Journal(tmp_path / 'latency.json', {'processor': 'A'}).add({'network 1': [1.0, 2.0, 3.0]})
    again = Journal(tmp_path / 'latency.json', {'processor': 'A'})
    assert again.entries == {'network 1': [1.0, 2.0, 3.0]}


def test_nothing_of_another_machine_is_used_which_is_said(tmp_path, logged):
    path = tmp_path / 'latency.json'
    Journal(path, {'processor': 'A', 'threads': 1}).add({'network': [1.0, 2.0, 3.0]})
    assert not logged
    other = Journal(path, {'processor': 'B', 'threads': 1})
    assert other.entries == {}
    assert len(logged) == 1
    assert '1 measurements are not used' in logged[0]
    assert "processor: 'A' before, 'B' now" in logged[0]
    other.add({'network': [7.0, 8.0, 9.0]})
    assert Journal(path, {'processor': 'A', 'threads': 1}).entries == {'network': [1.0, 2.0, 3.0]}
    assert Journal(path, {'processor': 'B', 'threads': 1}).entries == {'network': [7.0, 8.0, 9.0]}


def test_processes_do_not_undo_what_others_add(tmp_path):
    one, other = (Journal(tmp_path / 'latency.json', {}) for _ in range(2))
    one.add({'a': 1.0})
    other.add({'b': 2.0})
    assert other.entries == {'a': 1.0, 'b': 2.0}
    assert Journal(tmp_path / 'latency.json', {}).entries == {'a': 1.0, 'b': 2.0}


@pytest.mark.parametrize('content', ['', '[]', '{"format": 0, "measured": {}}', '{"measured": {}}'])
def test_a_file_of_another_kind_is_refused(tmp_path, content):
    path = tmp_path / 'latency.json'
    path.write_text(content)
    with pytest.raises(ValueError, match=r'latency\.json is no journal of latencies .*delete it'):
        Journal(path, {})


def test_measurements_belong_to_processor_libraries_and_conditions(monkeypatch):
    machine = {
        'processor': 'Cortex',
        'cores': 4,
        'instructions': ['asimd'],
        'system': 'Linux aarch64',
        'python': '3.12.1',
        'versions': {'openvino': '2025.1', 'timm': '1.0.31'},
    }
    monkeypatch.setattr(journal, 'describe_machine', lambda: machine)
    described = describe({'threads': 2})
    assert described == {
        'processor': 'Cortex',
        'cores': 4,
        'instructions': ['asimd'],
        'system': 'Linux aarch64',
        'versions': {'openvino': '2025.1'},
        'threads': 2,
    }
    json.dumps(described)
