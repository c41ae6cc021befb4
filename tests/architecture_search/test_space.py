import numpy as np
import pytest

from projects.architecture_search.space import GrowSpace


def test_every_point_is_one_of_the_list(grow, select):
    assert len(select) == 2 * 2 * 2 * 2
    assert len(grow) == 2 * 2 * 3 * 2 * 2**4 * 2**4 * 2 * 2 * 2
    points = [select.at(index) for index in range(len(select))]
    assert len({tuple(point.items()) for point in points}) == len(select)
    generator = np.random.default_rng(0)
    assert all(select.random(generator) in points for _ in range(20))


def test_options_of_a_selection(select):
    point = {'backbone': 's1', 'neck': '64', 'image_scale': 0.5, 'precision': 'bf16'}
    assert select.options(point) == {
        'model.backbone': {'type': 'SHViT', 'arch': 's1', 'out_indices': (2, 3, 4, 5)},
        'model.neck.out_channels': 64,
    }


def test_options_of_a_grown_network(grow):
    backbone = grow.options(grow.extreme(largest=True, mixers=('window', 'convolution', 'window', 'window')))
    assert backbone == {
        'model.backbone': {
            'type': 'MixerPyramid',
            'arch': {'dims': (64, 96, 160, 192), 'depths': (2, 2, 2, 2), 'stem_stride': 4},
            'mixers': ('window', 'convolution', 'window', 'window'),
            'image_size': (512, 512),
        }
    }
    smallest = grow.extreme(largest=False)
    assert (smallest['dim3'], smallest['stem_stride'], smallest['image_scale']) == (96, 8, 0.5)


def test_foreign_points_are_refused(select):
    point = select.at(0)
    with pytest.raises(ValueError, match="neck is '32'; expected one of 64, 256"):
        select.check({**point, 'neck': '32'})
    with pytest.raises(ValueError, match='is no network of this space, whose choices are backbone, neck'):
        select.check({'backbone': 's1'})
    assert select.check(dict(reversed(point.items()))) == point


@pytest.mark.parametrize(
    ('changed', 'message'),
    [
        ({'precisions': ('int4',)}, r"precisions \['int4'\]: expected some of fp32"),
        ({'image_scales': (0,)}, 'expected numbers above 0'),
        ({'dims': ((32,),) * 3}, 'four groups of values, one for each stage'),
        ({'depths': ((1, 1),) * 4}, r'depth1 has the values \[1, 1\]; expected one or more, each once'),
        ({'stem_strides': ()}, 'stem_stride has the values'),
    ],
)
def test_spaces_that_cannot_be_are_refused(grow, changed, message):
    fields = {name: getattr(grow, name) for name in grow.__dataclass_fields__}
    with pytest.raises(ValueError, match=message):
        GrowSpace(**fields | changed)
