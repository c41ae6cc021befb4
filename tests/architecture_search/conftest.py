import pytest

from projects.architecture_search.space import GrowSpace, SelectSpace


@pytest.fixture
def grow():
    return GrowSpace(
        precisions=('bf16', 'fp32'),
        image_scales=(1.0, 0.5),
        dims=((32, 64), (64, 96), (96, 128, 160), (128, 192)),
        depths=((1, 2),) * 4,
        mixers=(('convolution', 'window'),) * 4,
        stem_strides=(4, 8),
        image_size=(512, 512),
    )


@pytest.fixture
def select():
    return SelectSpace(
        precisions=('fp32', 'bf16'),
        image_scales=(0.5, 1.0),
        select={
            'backbone': {
                's1': {'model.backbone': {'type': 'SHViT', 'arch': 's1', 'out_indices': (2, 3, 4, 5)}},
                'tiny': {'model.backbone': {'type': 'MixerPyramid', 'arch': 'tiny'}},
            },
            'neck': {'64': {'model.neck.out_channels': 64}, '256': {}},
        },
    )
