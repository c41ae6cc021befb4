"""What holds for every token mixer."""

import io
import re
import warnings

import numpy as np
import onnxruntime
import openvino
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from projects.efficient_models.layers.conv_norm import fuse
from projects.efficient_models.token_mixers import TOKEN_MIXERS, build_token_mixer

CHANNELS = 64
CORE = openvino.Core()
# other options than the default ones, where they lead another way
VARIANTS: dict[str, tuple[str, dict[str, object]]] = {
    'window, shifted': ('window', {'window_size': 4, 'shift': 3}),
    'neighborhood, masked': ('neighborhood', {'kernel_size': 5, 'shifts_at_borders': False}),
    'spatial_reduction, none': ('spatial_reduction', {'reduction': 1}),
    'spatial_reduction, depthwise': ('spatial_reduction', {'reduction': 4, 'depthwise': True}),
    'channel, second version': ('channel', {'dynamic_scale': True}),
    'deformable, groups': ('deformable', {'stride': 2, 'groups': 4}),
    'extra_tokens, none': ('extra_tokens', {'window_size': 4, 'num_extra': 0}),
    'token_merging, all': ('token_merging', {'merged_percent': 100}),
    'token_merging, none': ('token_merging', {'merged_percent': 0}),
    'focal_modulation, wide': ('focal_modulation', {'kernel_sizes': (9, 11)}),
    'efficient_modulation, expanded': ('efficient_modulation', {'expansion': 4}),
}
# functions of a whole batch or of random draws have no place here: one image must not change another's result
SIZES = [(1, 1), (1, 6), (5, 3), (8, 8), (17, 10)]


@pytest.fixture(params=[*TOKEN_MIXERS, *VARIANTS])
def name(request):
    return request.param


def build(name):
    mixer, options = VARIANTS.get(name, (name, {}))
    return build_token_mixer(mixer, CHANNELS, **options)


@pytest.fixture
def mixer(name, randomize):
    return randomize(build(name)).eval()


@pytest.mark.parametrize('size', SIZES)
def test_the_shape_is_kept_at_any_size(mixer, size):
    x = torch.randn(2, CHANNELS, *size)
    before = x.clone()
    with torch.inference_mode():
        y = mixer(x)
    assert y.shape == x.shape
    assert y.isfinite().all()
    assert torch.equal(x, before)


@pytest.mark.parametrize('size', [(0, CHANNELS, 6, 9), (0, CHANNELS, 1, 1), (2, CHANNELS, 1, 1)])
def test_no_images_and_single_tokens_pass_forwards_and_backwards(mixer, size):
    x = torch.randn(size, requires_grad=True)
    y = mixer(x)
    assert y.shape == x.shape
    y.sum().backward()
    assert x.grad.shape == x.shape
    assert x.grad.isfinite().all()


@pytest.mark.parametrize('size', [(1, CHANNELS // 2, 4, 4), (1, 2 * CHANNELS, 4, 4), (CHANNELS, 4, 4)])
def test_other_maps_are_refused(mixer, size):
    with pytest.raises(ValueError, match=re.escape(f'must be (B, {CHANNELS}, H, W), got {size}.')):
        mixer(torch.randn(size))


def test_an_image_is_mixed_as_if_it_were_alone(mixer):
    x = torch.randn(3, CHANNELS, 6, 9)
    with torch.inference_mode():
        torch.testing.assert_close(mixer(x)[1:2], mixer(x[1:2]), rtol=1e-4, atol=1e-5)


def test_channels_last_maps_give_the_same(mixer):
    x = torch.randn(2, CHANNELS, 6, 9)
    with torch.inference_mode():
        torch.testing.assert_close(
            mixer(x.contiguous(memory_format=torch.channels_last)), mixer(x), rtol=1e-4, atol=1e-5
        )


def test_multiply_adds_are_those_counted(name):
    with torch.device('meta'):
        mixer = build(name).eval()
        for size in [(8, 8), (17, 10)]:
            with FlopCounterMode(display=False) as counter:
                mixer(torch.empty(1, CHANNELS, *size))
            assert mixer.macs(*size) * 2 == counter.get_total_flops(), size


def test_gradients_are_those_of_differences(name, randomize):
    mixer = randomize(build(name)).double().eval()
    x = torch.randn(1, CHANNELS, 3, 4, dtype=torch.double, requires_grad=True)
    assert torch.autograd.gradcheck(mixer, x, fast_mode=True)


@pytest.mark.parametrize('scale', [1, 10])
def test_half_precisions_do_not_overflow(mixer, scale):
    """Under autocast, as training in mixed precision has it, and with all weights in bfloat16."""
    x = torch.randn(1, CHANNELS, 12, 9) * scale
    with torch.inference_mode():
        exact = mixer(x)
        with torch.autocast('cpu', torch.bfloat16):
            mixed = mixer(x)
        with torch.autocast('cpu', torch.float16):
            half = mixer(x)
        whole = mixer.bfloat16()(x.bfloat16())
    spread = exact.std()
    assert half.isfinite().all()
    assert whole.dtype == torch.bfloat16
    for other in (mixed, half, whole):
        assert other.isfinite().all()
        if scale == 1:
            assert (other.float() - exact).square().mean().sqrt() < 0.02 * spread


def test_folding_normalisation_changes_nothing(mixer):
    x = torch.randn(2, CHANNELS, 6, 9)
    with torch.inference_mode():
        expected = mixer(x)
        torch.testing.assert_close(fuse(mixer)(x), expected, rtol=1e-4, atol=1e-5)


def test_an_exported_graph_takes_any_size(mixer):
    """One graph: in both runtimes, then, its size fixed, in bfloat16, which OpenVINO has where the processor does."""
    file, axes = io.BytesIO(), {0: 'b', 2: 'h', 3: 'w'}
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        torch.onnx.export(
            mixer,
            (torch.randn(2, CHANNELS, 8, 8),),
            file,
            input_names=['x'],
            output_names=['y'],
            dynamic_axes={'x': axes, 'y': axes},
            opset_version=17,
            dynamo=False,
        )
    ort = onnxruntime.InferenceSession(file.getvalue(), providers=['CPUExecutionProvider'])
    graph = CORE.read_model(io.BytesIO(file.getvalue()))
    compiled = CORE.compile_model(graph, 'CPU', {'INFERENCE_PRECISION_HINT': 'f32'})
    for size in [(8, 8), (7, 13), (16, 5)]:
        x = torch.randn(1, CHANNELS, *size)
        with torch.inference_mode():
            expected = mixer(x).numpy()
        atol = 1e-5 * max(1.0, np.abs(expected).max())
        np.testing.assert_allclose(ort.run(None, {'x': x.numpy()})[0], expected, rtol=0, atol=atol)
        np.testing.assert_allclose(compiled(x.numpy())[0], expected, rtol=0, atol=atol)
    if 'BF16' in CORE.get_property('CPU', 'OPTIMIZATION_CAPABILITIES'):
        x = torch.randn(2, CHANNELS, 16, 16)
        graph.reshape(list(x.shape))
        mixed = CORE.compile_model(graph, 'CPU', {'INFERENCE_PRECISION_HINT': 'bf16'})
        with torch.inference_mode():
            expected = mixer(x)
        error = torch.from_numpy(mixed(x.numpy())[0]) - expected
        assert error.square().mean().sqrt() < 0.05 * expected.std()
