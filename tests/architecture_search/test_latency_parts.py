import numpy as np
import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from projects.architecture_search.latency.parts import Part, differences_of, maps_of, parts_of
from projects.deployment.multiply_adds import count_macs
from projects.deployment.predictor import open_predictor
from projects.efficient_models.backbones.mixer_pyramid import MixerPyramid
from tests.architecture_search.latency_space import SIZE, small_space

POINT = {
    **{'dim1': 16, 'dim2': 32, 'dim3': 32, 'dim4': 32},
    **{'depth1': 1, 'depth2': 2, 'depth3': 3, 'depth4': 1},
    **{'mixer1': 'convolution', 'mixer2': 'window', 'mixer3': 'softmax', 'mixer4': 'softmax'},
    **{'stem_stride': 4, 'image_scale': 1.0, 'precision': 'fp32'},
}


def test_parts_of_a_network_by_hand():
    assert parts_of(POINT, (100, 64)) == {
        Part('stem', '', (3, 16), (100, 64), 4): 1,
        Part('block', 'convolution', (16, 16), (25, 16), 1): 1,
        Part('downsampling', '', (16, 32), (25, 16), 2): 1,
        Part('block', 'window', (32, 32), (13, 8), 1): 2,
        Part('downsampling', '', (32, 32), (13, 8), 2): 1,
        Part('block', 'softmax', (32, 32), (7, 4), 1): 3,
        Part('downsampling', '', (32, 32), (7, 4), 2): 1,
        Part('block', 'softmax', (32, 32), (4, 2), 1): 1,
    }
    assert maps_of(POINT, (100, 64)) == [(16, (25, 16)), (32, (13, 8)), (32, (7, 4)), (32, (4, 2))]


def test_places_of_equal_maps_share_a_part():
    coarse = {**POINT, 'stem_stride': 8, 'mixer1': 'softmax', 'dim1': 32, 'dim2': 64}
    shared = parts_of(POINT, (128, 128)).keys() & parts_of(coarse, (256, 256)).keys()
    assert Part('block', 'softmax', (32, 32), (32, 32), 1) not in shared
    shared = parts_of({**POINT, 'dim2': 32, 'mixer2': 'softmax'}, (256, 256)).keys() & parts_of(coarse, (256, 256))
    assert Part('block', 'softmax', (32, 32), (32, 32), 1) in shared


def macs_of(network, image_size):
    with torch.no_grad(), FakeTensorMode(allow_non_fake_inputs=True):
        return count_macs(network.eval(), torch.empty(1, 3, *image_size))[1].total


@pytest.mark.parametrize('image_size', [(64, 96), (72, 100)])
@pytest.mark.parametrize('seed', range(3))
def test_the_multiply_adds_of_the_parts_are_those_of_the_pyramid(image_size, seed):
    space = small_space()
    point = space.random(np.random.default_rng(seed))
    backbone = dict(space.options(point)['model.backbone'])
    assert backbone.pop('type') == 'MixerPyramid'
    total = sum(
        count * factor * macs_of(network.build(), network.image_size)
        for part, count in parts_of(point, image_size).items()
        for network, factor in differences_of(part).items()
    )
    assert total == macs_of(MixerPyramid(**backbone), image_size)


@pytest.mark.parametrize('size', [(1, 1), (2, 3), (13, 8), (64, 64), (100, 3)])
@pytest.mark.parametrize('kind', ['block', 'downsampling'])
def test_small_networks_give_their_part_a_map_of_its_size(kind, size):
    part = Part(kind, 'convolution' if kind == 'block' else '', (16, 16), size, 1 if kind == 'block' else 2)
    for network in differences_of(part):
        assert min(network.image_size) >= 64
        first = network.build()[0]
        with FakeTensorMode(allow_non_fake_inputs=True):
            assert first.eval()(torch.empty(1, 3, *network.image_size)).shape[2:] == size


@pytest.mark.parametrize('precision', ['fp32', 'int8'])
@pytest.mark.parametrize('part', list(parts_of(POINT, SIZE))[:4], ids=str)
def test_small_networks_become_files_that_run(tmp_path, part, precision):
    for index, network in enumerate(differences_of(part)):
        path = network.write(tmp_path / f'{index}.onnx', precision)
        predictor = open_predictor(path, runtime='onnxruntime', threads=1)
        assert predictor.info.input_size == network.image_size
        channels = part.dims[1] if network.count else part.dims[0]
        (mean,) = predictor.session(np.zeros((1, *network.image_size, 3), np.uint8)).values()
        assert mean.shape == (1, channels)
        assert np.isfinite(mean).all()
