from pathlib import Path

import pytest
from mmengine.config import Config

from projects.deployment.model_table.complexity import Complexity, Macs
from projects.deployment.model_table.published_figures import PublishedFigures
from projects.deployment.model_table.table import (
    ModelRow,
    image_size_of,
    read_row,
    render,
    stale_lines,
)
from projects.reporting.sections import replace_section

ROOT = Path(__file__).parents[3]
README = 'Before.\n\n<!-- model table -->\nold\n<!-- /model table -->\n\nAfter.\n'


def row(name='shvit_fpn_ade20k', dataset='ADE20K', scores=('miou',), image_size=(512, 512), **published):
    """A network of 5.004 M and 20.1 M parameters, 4 G and 30 G MACs, 2 G of them attention's."""
    return ModelRow(
        path=Path('/project/configs') / f'{name}.py',
        dataset=dataset,
        image_size=image_size,
        scores=scores,
        backbone='SHViT s4',
        method='Semantic FPN',
        complexity=Complexity(5_004_000, 20_100_000, Macs(4 * 10**9, 10**9), Macs(30 * 10**9, 2 * 10**9)),
        published=PublishedFigures(**published),
    )


def cells(**published):
    return row(**published).cells(Path('/project'))


def test_a_row_without_published_figures():
    link = '[shvit_fpn_ade20k](configs/shvit_fpn_ade20k.py)'
    assert cells() == [link, 'SHViT s4', 'Semantic FPN', '5.00 / 20.1', '4.00 / 30.0', '–', '–', '–']


def test_figures_stand_beside_ours_as_they_were_printed():
    found = cells(params_m='20', macs_g='30.00', backbone_params_m='5.0', miou=46.0)
    assert found[3:] == ['5.00 / 20.1', '4.00 / 30.0', '5.0 / 20', '– / 30.00', '46.0']


def test_deviations_are_flagged_beyond_their_tolerances():
    assert cells(params_m='19.9')[3] == '5.00 / 20.1'  # 1.0 %, and rounding
    assert cells(params_m='19.8')[3] == '5.00 / ⚠ **20.1, +1.5%**'
    assert cells(backbone_params_m='5.10')[3] == '⚠ **5.00, -1.9%** / 20.1'
    assert cells(macs_g='31.2')[4] == '4.00 / 30.0'  # 3.8 %
    assert cells(macs_g='31.4')[4] == '4.00 / ⚠ **30.0, -4.5%**'


def test_macs_are_compared_in_the_published_convention():
    assert cells(macs_g='28.0', macs_with_attention=False)[4] == '4.00 / 30.0 (28.0)'
    assert cells(macs_g='28.0')[4] == '4.00 / ⚠ **30.0, +7.1%**'
    assert cells(macs_g='30.0', macs_with_attention=False)[4] == '4.00 / 30.0 (⚠ **28.0, -6.7%**)'


def test_tables_are_sorted_and_grouped_by_data_set_and_size():
    detector = {'dataset': 'COCO', 'scores': ('box_ap', 'mask_ap'), 'image_size': (800, 1280), 'box_ap': 39.0}
    rows = [row('b'), row('d', **detector), row('c', **detector | {'image_size': (640, 640)}), row('a')]
    lines = render(rows, Path('/project')).splitlines()
    assert [line for line in lines if line.startswith('**')] == [
        '**ADE20K, 512x512**',
        '**COCO, 640x640**',
        '**COCO, 800x1280**',
    ]
    links = [line for line in lines if line.startswith('| [')]
    assert [line[3] for line in links] == ['a', 'b', 'c', 'd']
    assert links[3].endswith('| 39.0 / – |')
    headers = [line for line in lines if line.startswith('| config')]
    assert [header.split(' | ')[-1] for header in headers] == [
        'published mIoU |',
        'published box AP / mask AP |',
        'published box AP / mask AP |',
    ]
    assert all(line.count('|') == 9 for line in lines if line.startswith('|'))
    assert '1% (parameters) or 4% (MACs)' in ' '.join(lines[:10])
    assert render(rows[::-1], Path('/project')) == '\n'.join(lines)


def test_stale_rows_are_named(tmp_path):
    readme = tmp_path / 'README.md'
    readme.write_text(README)
    rows = [row('a'), row('b'), row('c')]
    table = render(rows, Path('/project'))
    replace_section(readme, 'model table', table)
    assert stale_lines(readme, table) == []
    changed = [row('a'), row('b', params_m='20'), row('d')]
    assert stale_lines(readme, render(changed, Path('/project'))) == ['b', 'd', 'c']
    replace_section(readme, 'model table', table.replace('Parameters (M)', 'Parameters'))
    (stale, _) = stale_lines(readme, table)
    assert stale.startswith('Parameters (M)')
    replace_section(readme, 'model table', '\n'.join(reversed(table.splitlines())))
    assert stale_lines(readme, table) == ['the order of the lines']


@pytest.mark.parametrize(
    ('resize', 'expected'),
    [
        ({'scale': (1333, 800), 'keep_ratio': True}, (800, 1280)),
        ({'scale': (2048, 512), 'keep_ratio': True}, (512, 512)),
        ({'scale': (2048, 1024), 'keep_ratio': True}, (1024, 2048)),
        ({'scale': (1333, 800), 'keep_ratio': False}, (800, 1333)),
        ({'scale': (640, 480)}, (480, 640)),
    ],
)
def test_the_size_is_that_of_the_test_pipeline(resize, expected):
    pipeline = [{'type': 'LoadImage'}, {'type': 'Resize', **resize}, {'type': 'Pad'}]
    assert image_size_of(Config({'test_dataloader': {'dataset': {'pipeline': pipeline}}})) == expected


def test_a_config_is_counted_at_the_size_of_its_task():
    found = read_row(ROOT / 'configs' / 'shvit_s1_maskrcnn_coco.py')
    assert (found.dataset, found.image_size) == ('COCO', (800, 1280))
    assert (found.backbone, found.method) == ('SHViT s1', 'Mask R-CNN, UpsamplingFPN')
    assert found.published == PublishedFigures()
    # stride 16, 32 and 64, the last rounded up: at 224x224 there are 14x14, 7x7 and 4x4 cells
    assert found.complexity.backbone_macs.total / 1e9 == pytest.approx(0.241 * 800 * 1280 / 224**2, rel=0.03)
    assert found.complexity.backbone_params == pytest.approx(6.01e6, rel=1e-3)


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ("model = dict(backbone=dict(arch='s9'))", r'leaf\.py cannot be counted: ValueError: .*no arch .s9.'),
        ('test_dataloader = dict(dataset=dict(pipeline=[]))', r'leaf\.py cannot be counted: .*has no `dict\(type='),
        ('published = dict(mIoU=46.0)', "leaf.py: .*unknown key 'mIoU'"),
        ('model = dict(', r'leaf\.py is not valid Python: .*line 2'),
    ],
)
def test_a_config_that_cannot_be_counted_is_named(tmp_path, text, message):
    path = tmp_path / 'leaf.py'
    path.write_text(f"_base_ = '{ROOT}/configs/shvit_s1_maskrcnn_coco.py'\n{text}\n")
    with pytest.raises(ValueError, match=message):
        read_row(path)
