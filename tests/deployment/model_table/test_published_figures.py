import pytest

from projects.deployment.model_table.published_figures import PublishedFigures, deviates


@pytest.mark.parametrize(
    ('measured', 'printed', 'tolerance', 'expected'),
    [
        (0.7499, '0.7', 0, False),  # rounds to 0.7
        (0.6501, '0.7', 0, False),
        (0.751, '0.7', 0, True),
        (0.757, '0.7', 0.01, True),  # 0.75 and one percent of 0.7
        (0.7569, '0.7', 0.01, False),
        (0.643, '0.7', 0.01, False),
        (0.6429, '0.7', 0.01, True),
        (25.49, '25', 0, False),
        (25.51, '25', 0, True),
        (25.06, '25.0', 0, True),  # three digits say more than two
        (26.49, '25', 0.04, False),
        (26.51, '25', 0.04, True),
        (23.49, '25', 0.04, True),
        (396.6, '396', 0, True),
    ],
)
def test_rounding_is_no_deviation(measured, printed, tolerance, expected):
    assert deviates(measured, printed, tolerance) is expected


def read(folder, text):
    path = folder / 'leaf.py'
    path.write_text(text)
    return PublishedFigures.read(path)


def test_figures_are_read_from_the_text_of_the_config(tmp_path):
    found = read(tmp_path, "_base_ = 'no_such_file.py'\npublished = dict(params_m='16.70', box_ap=39, mask_ap=35.9)\n")
    assert found == PublishedFigures(params_m='16.70', box_ap=39, mask_ap=35.9)
    assert found.macs_with_attention
    assert not read(tmp_path, "published = dict(macs_g='28.1', macs_with_attention=False)").macs_with_attention


def test_figures_are_not_inherited(tmp_path):
    (tmp_path / 'base.py').write_text('published = dict(miou=46.0)\n')
    assert read(tmp_path, "_base_ = 'base.py'\n") == PublishedFigures()


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ("dict(param_m='16.7')", "unknown key 'param_m'; accepted are backbone_params_m, params_m"),
        ('dict(params_m=16.7)', 'params_m of `published` must be a string with the digits as printed, .* got 16.7'),
        ("dict(macs_g='28 G')", "macs_g of `published` must be a string .* got '28 G'"),
        ("dict(macs_g='nan')", "macs_g of `published` must be a string .* got 'nan'"),
        ("dict(macs_g='-1')", "macs_g of `published` must be a string .* got '-1'"),
        ("dict(miou='46.0')", "miou of `published` must be a number of percent, got '46.0'"),
        ('dict(miou=True)', 'miou of `published` must be a number of percent, got True'),
        ('dict(miou=460)', 'miou of `published` must be a number of percent, got 460'),
        ("dict(macs_with_attention='no')", "macs_with_attention of `published` must be True or False, got 'no'"),
        ('dict(miou=20 + x)', 'expected `published = dict'),
        ('dict(**figures)', 'expected `published = dict'),
        ("{'miou': 46.0}", 'expected `published = dict'),
    ],
)
def test_mistakes_are_named(tmp_path, text, message):
    with pytest.raises(ValueError, match=rf'leaf\.py: .*{message}'):
        read(tmp_path, f'published = {text}\n')
