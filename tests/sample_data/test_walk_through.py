"""The notebook runs from its first cell to its last, as Jupyter would run it."""

import json
import os
from pathlib import Path

import nbformat

from tests.processes import call_in_clean_process

NOTEBOOK = Path(__file__).parents[2] / 'projects' / 'sample_data' / 'walk_through.ipynb'


def run_cells(folder):
    """Run all cells in a folder, and write down what they found."""
    os.chdir(folder)
    names = {}
    for cell in nbformat.read(NOTEBOOK, as_version=4).cells:
        if cell.cell_type == 'code':
            exec(compile(cell.source, cell.id, 'exec'), names)
    report = names['report']
    found = (float(names['scores']['mIoU']), names['both'].size, report.num_predicted, report.failed)
    Path('found.json').write_text(json.dumps(found))


def test_the_notebook_runs(tmp_path):
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    nbformat.validate(notebook)
    assert len(notebook.cells) == 10
    assert not any(cell.get('outputs') for cell in notebook.cells)
    call_in_clean_process(run_cells, tmp_path)
    score, size, num_predicted, failed = json.loads((tmp_path / 'found.json').read_text())
    assert score > 10  # 22 on a Xeon with AMX; other processors round otherwise
    assert min(size) > 0
    assert (num_predicted, failed) == (24, [])
