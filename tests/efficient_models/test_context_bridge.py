import io
import math
import warnings

import numpy as np
import onnxruntime
import openvino
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from projects.efficient_models.necks import ContextBridge

CHANNELS = (8, 16, 32)


def levels(height, width, channels=CHANNELS, batch=2):
    """Maps of strides 1, 2 and 4."""
    sizes = [(math.ceil(height / 2**i), math.ceil(width / 2**i)) for i in range(len(channels))]
    return [torch.randn(batch, count, *size) for count, size in zip(channels, sizes, strict=True)]


def written_out(layer, maps):
    """One layer, token by token; the channels of one position are cut in runs of eight."""

    def cut(x):
        _, count, height, width = x.shape
        return torch.stack(
            [x[:, i : i + 8, r, c] for r in range(height) for c in range(width) for i in range(0, count, 8)], dim=1
        )

    def join(tokens, x):
        joined, position = torch.empty_like(x), 0
        for r in range(x.shape[2]):
            for c in range(x.shape[3]):
                for i in range(0, x.shape[1], 8):
                    joined[:, i : i + 8, r, c] = tokens[:, position]
                    position += 1
        return joined

    tokens = [cut(x) for x in maps]
    reduced = []
    for x, one, side, conv in zip(maps, tokens, (4, 2, 1), layer.reduce, strict=True):
        y = join(layer.norm1(one), x)
        rows = [min(r, x.shape[2] - 1) for r in range(math.ceil(x.shape[2] / side) * side)]
        columns = [min(c, x.shape[3] - 1) for c in range(math.ceil(x.shape[3] / side) * side)]
        reduced.append(cut(conv(y[:, :, rows][..., columns])))
    key, value = layer.kv(layer.norm(torch.cat(reduced, 1))).split(8, dim=2)
    tokens = torch.cat(tokens, 1)
    query = layer.q(layer.norm1(tokens))
    heads = [slice(i, i + 8 // layer.num_heads) for i in range(0, 8, 8 // layer.num_heads)]
    scores = [query[..., one] @ key[..., one].transpose(1, 2) / (8 // layer.num_heads) ** 0.5 for one in heads]
    attended = [one.softmax(2) @ value[..., head] for one, head in zip(scores, heads, strict=True)]
    tokens = tokens + layer.proj(torch.cat(attended, 2))
    outputs = []
    parts = tokens.split([x[0].numel() // 8 for x in maps], dim=1)
    for x, one, ffn in zip(maps, parts, layer.ffns, strict=True):
        hidden = F.linear(join(layer.norm2(one), x).permute(0, 2, 3, 1), ffn.fc1.weight, ffn.fc1.bias)
        hidden = hidden + ffn.dwconv(hidden.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
        update = ffn.fc2(F.gelu(ffn.norm(hidden)))
        outputs.append(join(one, x) + update.permute(0, 3, 1, 2))
    return outputs


@pytest.mark.parametrize('num_heads', [1, 2])
@pytest.mark.parametrize('size', [(8, 8), (7, 5), (1, 1)], ids=str)
def test_equals_the_layers_written_out(size, num_heads, randomize):
    bridge = randomize(ContextBridge(CHANNELS, width=8, num_layers=2, num_heads=num_heads)).eval()
    maps = levels(*size)
    with torch.inference_mode():
        expected = maps
        for layer in bridge.layers:
            expected = written_out(layer, expected)
        outputs = bridge(maps)
    assert isinstance(outputs, tuple)
    for output, reference in zip(outputs, expected, strict=True):
        torch.testing.assert_close(output, reference, rtol=0, atol=1e-5)


def test_a_bridge_that_adds_nothing_changes_nothing(randomize):
    bridge = randomize(ContextBridge(CHANNELS, width=8)).eval()
    for layer in bridge.layers:
        for last in (layer.proj, *(ffn.fc2 for ffn in layer.ffns)):
            nn.init.zeros_(last.weight)
            nn.init.zeros_(last.bias)
    maps = levels(6, 9)
    before = [x.clone() for x in maps]
    for output, x, given in zip(bridge(maps), maps, before, strict=True):
        assert torch.equal(output, x)
        assert torch.equal(x, given)


@pytest.mark.parametrize('changed', range(3))
def test_each_position_of_each_level_is_seen_everywhere(changed, randomize):
    bridge = randomize(ContextBridge(CHANNELS, width=8, num_layers=1)).eval()
    maps = levels(8, 12, batch=1)
    others = [x.clone() for x in maps]
    others[changed][..., -1, -1] *= -1  # norms take the mean of a token away
    with torch.inference_mode():
        for output, other in zip(bridge(maps), bridge(others), strict=True):
            assert (output - other).abs().amax((0, 1)).min() > 0


def test_tokens_are_runs_of_adjacent_channels_of_one_position():
    layer = ContextBridge((4, 8), width=4, num_layers=1).layers[0]
    x = torch.arange(2 * 3 * 8).view(1, 2, 3, 8)
    assert torch.equal(layer.to_tokens(x)[0], torch.arange(48).view(12, 4))


def test_every_parameter_learns():
    bridge = ContextBridge(CHANNELS, width=8, num_layers=2)
    sum(output.square().mean() for output in bridge(levels(7, 9))).backward()
    assert not [name for name, parameter in bridge.named_parameters() if not parameter.grad.abs().sum() > 0]


@pytest.mark.parametrize('dtype', [torch.bfloat16, torch.float16])
def test_half_precision_is_close(dtype, randomize):
    bridge = randomize(ContextBridge(CHANNELS, width=8, num_layers=2)).eval()
    maps = levels(9, 6)
    with torch.inference_mode():
        exact = bridge(maps)
        with torch.autocast('cpu', dtype):
            mixed = bridge(maps)
    for one, other in zip(exact, mixed, strict=True):
        assert (other.float() - one).square().mean().sqrt() < 0.02 * one.std()


def test_an_exported_graph_takes_any_size(randomize):
    bridge = randomize(ContextBridge(CHANNELS, width=8, num_layers=2)).eval()
    file, names = io.BytesIO(), ['fine', 'middle', 'coarse']
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        torch.onnx.export(
            bridge,
            (levels(8, 8),),
            file,
            input_names=names,
            dynamic_axes={name: {0: 'b', 2: f'h_{name}', 3: f'w_{name}'} for name in names},
            opset_version=17,
            dynamo=False,
        )
    ort = onnxruntime.InferenceSession(file.getvalue(), providers=['CPUExecutionProvider'])
    core = openvino.Core()
    compiled = core.compile_model(
        core.read_model(io.BytesIO(file.getvalue())), 'CPU', {'INFERENCE_PRECISION_HINT': 'f32'}
    )
    for size in [(8, 8), (7, 13), (16, 5)]:
        maps = levels(*size, batch=1)
        with torch.inference_mode():
            expected = [output.numpy() for output in bridge(maps)]
        given = {name: x.numpy() for name, x in zip(names, maps, strict=True)}
        results = compiled(given)
        for index, (from_ort, reference) in enumerate(zip(ort.run(None, given), expected, strict=True)):
            atol = 1e-5 * max(1.0, np.abs(reference).max())
            np.testing.assert_allclose(from_ort, reference, rtol=0, atol=atol)
            np.testing.assert_allclose(results[index], reference, rtol=0, atol=atol)


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        ({'width': 6}, r'width of ContextBridge must divide .* \[8, 16, 32\], as 8 does, got 6'),
        ({'width': 8, 'num_heads': 3}, 'num_heads of ContextBridge must divide its width, 8, got 3'),
        ({'width': 8, 'reductions': (2, 1)}, r'one for each of its 3 levels, got \[2, 1\]'),
        (
            {'width': 8, 'reductions': (2, 1, 0)},
            r'reductions .* a list of whole numbers .*\(2, 1, 0',
        ),
        ({'width': 8, 'num_layers': 0}, 'num_layers of ContextBridge must be a whole number of 1 or more, got 0'),
        ({'width': '8'}, "width of ContextBridge must be a whole number of 1 or more, got '8'"),
        ({'width': 8, 'ffn_ratio': 1.5}, 'ffn_ratio of ContextBridge must be a whole number of 1 or more, got 1.5'),
        ({'width': 8, 'heads': 2}, 'ContextBridge has no option .heads.. Did you mean num_heads'),
    ],
)
def test_levels_that_do_not_fit_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        ContextBridge(CHANNELS, **options)


def test_a_wrong_number_of_maps_is_refused():
    with pytest.raises(ValueError, match='has 3 in_channels, but got 2 maps'):
        ContextBridge(CHANNELS, width=8, num_layers=1)(levels(4, 4)[:2])


def test_the_docstring_says_how_many_scores_there_are():
    bridge = ContextBridge((112, 224, 336, 448), width=112, num_layers=1)
    sides = [512 // stride for stride in (8, 16, 32, 64)]
    tokens = [side**2 * count // 112 for side, count in zip(sides, bridge.in_channels, strict=True)]
    cells = [one // reduction**2 for one, reduction in zip(tokens, bridge.layers[0].reductions, strict=True)]
    assert f'{sum(tokens)} x {sum(cells)}' in ContextBridge.__doc__
