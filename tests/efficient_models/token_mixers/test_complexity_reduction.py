"""Mixers that reduce the complexity of self-attention, beside softmax attention and their formulas in full."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from projects.efficient_models.backbones.efficientvit_mit import relu_attention
from projects.efficient_models.token_mixers import build_token_mixer, focused_linear_attention, nystrom_attention
from projects.efficient_models.token_mixers.nystrom_attention import pseudo_inverse

CHANNELS, HEADS, HEAD_DIM = 64, 2, 32


def build(name, **options):
    """A mixer with large enough weights that attention is not close to a mean."""
    mixer = build_token_mixer(name, CHANNELS, **options).eval()
    with torch.no_grad():
        for layer in ('qkv', 'q', 'kv', 'qkvo'):
            if hasattr(mixer, layer):
                mixer.get_submodule(layer).weight.mul_(3)
    return mixer


def softmax_attention(mixer):
    """Softmax attention with the weights of another mixer."""
    softmax = build_token_mixer('softmax', CHANNELS).eval()
    weights = mixer.state_dict()
    if 'q.weight' in weights:
        for kind in ('weight', 'bias'):
            weights[f'qkv.{kind}'] = torch.cat([weights[f'q.{kind}'], weights[f'kv.{kind}']])
    softmax.load_state_dict({name: weights[name] for name in softmax.state_dict()})
    return softmax


def heads(mixer, x):
    """Queries, keys and values of each head, (B, heads, N, d), from the projection alone."""
    return [one.unflatten(1, (HEADS, HEAD_DIM)).flatten(3).mT for one in mixer.qkv(x).chunk(3, dim=1)]


def joined(mixer, attended, x, added=0):
    """The output for (B, heads, N, d), and a map that is added before the projection."""
    return mixer.proj(attended.mT.flatten(1, 2).view_as(x) + added)


def features_last(x):
    return x.flatten(2).mT


# limits in which they are softmax attention


@pytest.mark.parametrize('size', [(1, 1), (5, 7), (8, 8)])
@pytest.mark.parametrize(
    ('name', 'options'),
    [
        ('window', {'window_size': 8}),
        ('spatial_reduction', {'reduction': 1}),
        ('neighborhood', {'kernel_size': 15, 'shifts_at_borders': False}),
        ('neighborhood', {'kernel_size': 9}),
    ],
)
def test_keys_that_are_the_whole_map_give_softmax_attention(name, options, size):
    mixer = build(name, **options)
    if name == 'window':
        nn.init.zeros_(mixer.bias_table)
    x = torch.randn(2, CHANNELS, *size)
    with torch.inference_mode():
        expected = softmax_attention(mixer)(x)
        torch.testing.assert_close(mixer(x), expected, rtol=0, atol=1e-6 * max(1, expected.abs().max()))


def test_landmarks_for_all_tokens_give_softmax_attention(monkeypatch):
    """Exact once the inverse has converged; the error that its six steps leave is the one stated there."""
    mixer = build('nystrom', grid=7).double()
    x = torch.randn(2, CHANNELS, 5, 7, dtype=torch.double)
    with torch.inference_mode():
        expected = softmax_attention(mixer).double()(x)
        assert 1e-3 < (mixer(x) - expected).abs().max() < 0.05
        monkeypatch.setattr(nystrom_attention, 'ITERATIONS', 20)
        torch.testing.assert_close(mixer(x), expected, rtol=0, atol=1e-6)


def test_small_logits_make_inline_attention_softmax_attention():
    """By second order: a tenth of the scores leaves a hundredth of the error."""
    x, errors = torch.randn(2, CHANNELS, 6, 7, dtype=torch.double), []
    for scale in (1e-1, 1e-2, 1e-3):
        torch.manual_seed(1)
        mixer = build('inline', head_dim=HEAD_DIM).double()
        nn.init.zeros_(mixer.residual[-1].weight)
        nn.init.zeros_(mixer.residual[-1].bias)
        with torch.no_grad():
            mixer.qkv.weight[:CHANNELS] *= scale
            mixer.qkv.bias[:CHANNELS] *= scale
            errors.append((mixer(x) - softmax_attention(mixer).double()(x)).abs().max().item())
    assert errors[0] / errors[1] == pytest.approx(100, rel=0.2)
    assert errors[1] / errors[2] == pytest.approx(100, rel=0.2)
    assert errors[2] < 1e-5


def test_focus_of_one_is_relu_linear_attention(monkeypatch):
    mixer = build('focused_linear', focus=1)
    nn.init.zeros_(mixer.dwc.weight)
    nn.init.zeros_(mixer.dwc.bias)
    monkeypatch.setattr(focused_linear_attention, 'EPS', 1e-12)
    x = torch.randn(2, CHANNELS, 6, 8)
    with torch.inference_mode():
        # LiteMLA keeps query, key and value of a head adjacent
        qkv = mixer.qkv(x).unflatten(1, (3, HEADS, HEAD_DIM)).transpose(1, 2).flatten(1, 3)
        torch.testing.assert_close(mixer(x), mixer.proj(relu_attention([qkv], HEAD_DIM)), rtol=0, atol=1e-5)


# their formulas, with all pairs of tokens written out


def test_tokens_of_other_windows_are_not_seen():
    mixer = build('window', window_size=4, shift=1)
    x = torch.randn(1, CHANNELS, 9, 10)
    changed = x.clone()
    changed[:, :, 5:9, 1:5] += 1  # the window of rows 5 to 8, columns 1 to 4
    with torch.inference_mode():
        difference = (mixer(changed) - mixer(x)).abs().amax(dim=(0, 1))
    seen = torch.zeros(9, 10, dtype=torch.bool)
    seen[5:9, 1:5] = True
    assert difference[seen].min() > 1e-3
    assert difference[~seen].max() < 1e-6


def test_moving_whole_windows_moves_the_result():
    mixer = build('window', window_size=4)
    nn.init.normal_(mixer.bias_table)
    x = torch.randn(1, CHANNELS, 8, 12)
    with torch.inference_mode():
        y = mixer(x)
        torch.testing.assert_close(mixer(x.roll((4, 8), (2, 3))), y.roll((4, 8), (2, 3)), rtol=0, atol=1e-6)
        assert (mixer(x.roll(1, 3)) - y.roll(1, 3)).abs().max() > 1e-2


@pytest.mark.parametrize('shifts_at_borders', [True, False])
@pytest.mark.parametrize('size', [(9, 13), (2, 6), (5, 1)])
def test_neighbors_are_those_of_the_definition(size, shifts_at_borders):
    mixer = build('neighborhood', kernel_size=5, shifts_at_borders=shifts_at_borders)
    height, width = size

    def sees(query: int, key: int, length: int) -> bool:
        if shifts_at_borders:
            query = max(min(query, length - 3), 2)  # where the square of 5 is inside
        return abs(key - query) <= 2

    tokens = [(row, column) for row in range(height) for column in range(width)]
    seen = torch.tensor(
        [
            [sees(row, key_row, height) and sees(column, key_column, width) for key_row, key_column in tokens]
            for row, column in tokens
        ]
    )
    assert not shifts_at_borders or (seen.sum(dim=1) == min(height, 5) * min(width, 5)).all()
    x = torch.randn(2, CHANNELS, *size)
    with torch.inference_mode():
        query, key, value = heads(mixer, x)
        weights = (query @ key.mT / HEAD_DIM**0.5).masked_fill(~seen, -torch.inf).softmax(dim=3)
        torch.testing.assert_close(mixer(x), joined(mixer, weights @ value, x), rtol=0, atol=1e-5)


def test_efficient_attention_is_a_mean_of_values():
    mixer = build('efficient')
    x = torch.randn(2, CHANNELS, 5, 6)
    with torch.inference_mode():
        query, key, value = heads(mixer, x)
        weights = query.softmax(dim=3) @ key.softmax(dim=2).mT
        torch.testing.assert_close(weights.sum(dim=3), torch.ones(2, HEADS, 30), rtol=0, atol=1e-6)
        torch.testing.assert_close(mixer(x), joined(mixer, weights @ value, x), rtol=0, atol=1e-6)


def test_agents_are_means_of_queries():
    mixer = build('agent', grid=2)
    x = torch.randn(2, CHANNELS, 5, 6)
    with torch.inference_mode():
        query, key, value = heads(mixer, x)
        agents = F.adaptive_avg_pool2d(query.mT.unflatten(3, (5, 6)).flatten(0, 1), 2).flatten(2).mT
        agents = agents.unflatten(0, (2, HEADS)) / HEAD_DIM**0.5
        weights = (query @ agents.mT).softmax(dim=3) @ (agents @ key.mT).softmax(dim=3)
        local = mixer.dwc(mixer.qkv(x)[:, 2 * CHANNELS :])
        torch.testing.assert_close(mixer(x), joined(mixer, weights @ value, x, local), rtol=0, atol=1e-5)


def test_landmarks_stand_for_their_cells():
    mixer = build('nystrom', grid=2).double()
    x = torch.randn(2, CHANNELS, 5, 6, dtype=torch.double) * 3
    with torch.inference_mode():
        query, key, value = heads(mixer, x)
        means = [
            F.adaptive_avg_pool2d(one.mT.unflatten(3, (5, 6)).flatten(0, 1), 2).flatten(2).mT.unflatten(0, (2, HEADS))
            for one in (query, key)
        ]
        first, second, third = (
            (one @ other.mT / HEAD_DIM**0.5).softmax(dim=3)
            for one, other in ((query, means[1]), (means[0], means[1]), (means[0], key))
        )
        expected = joined(mixer, first @ pseudo_inverse(second) @ third @ value, x)
        torch.testing.assert_close(mixer(x), expected, rtol=0, atol=1e-9)


def test_focused_features_keep_their_length_over_all_heads():
    mixer = build('focused_linear')
    nn.init.normal_(mixer.scale)
    x = torch.randn(2, CHANNELS, 5, 6)
    with torch.inference_mode():
        features = []
        for one in mixer.qkv(x).chunk(3, dim=1)[:2]:
            positive = features_last(one).relu().add(1e-6) / F.softplus(mixer.scale)
            cubes = positive**3
            focused = cubes * positive.norm(dim=2, keepdim=True) / cubes.norm(dim=2, keepdim=True)
            features.append(focused.unflatten(2, (HEADS, HEAD_DIM)).transpose(1, 2))
        value = mixer.qkv(x)[:, 2 * CHANNELS :]
        weights = features[0] @ features[1].mT
        weights = weights / (weights.sum(dim=3, keepdim=True) + 30e-6)
        kernel, bias = mixer.dwc.weight.repeat(HEADS, 1, 1, 1), mixer.dwc.bias.repeat(HEADS)
        local = F.conv2d(value, kernel, bias, padding=2, groups=CHANNELS)
        attended = weights @ heads(mixer, x)[2]
        torch.testing.assert_close(mixer(x), joined(mixer, attended, x, local), rtol=0, atol=1e-5)


def test_inline_attention_has_weights_that_sum_to_one_and_a_kernel_for_each_channel():
    mixer = build('inline', head_dim=HEAD_DIM)
    x = torch.randn(2, CHANNELS, 5, 6)
    with torch.inference_mode():
        query, key, value = heads(mixer, x)
        scores = query @ key.mT / HEAD_DIM**0.5
        weights = (scores - scores.mean(dim=3, keepdim=True) + 1) / 30
        # groups of the two layers are heads
        first, _, second = mixer.residual
        mean = x.mean(dim=(2, 3)).unflatten(1, (HEADS, HEAD_DIM))
        hidden = torch.einsum('bhi,hoi->bho', mean, first.weight.view(HEADS, HEAD_DIM, HEAD_DIM))
        hidden = F.gelu(hidden.flatten(1) + first.bias).unflatten(1, (HEADS, HEAD_DIM))
        kernels = torch.einsum('bhi,hoi->bho', hidden, second.weight.view(HEADS, 9 * HEAD_DIM, HEAD_DIM))
        kernels = (kernels.flatten(1) + second.bias).view(2, CHANNELS, 1, 3, 3)
        values = mixer.qkv(x)[:, 2 * CHANNELS :]
        local = torch.stack(
            [
                F.conv2d(one[None], kernel, padding=1, groups=CHANNELS)[0]
                for one, kernel in zip(values, kernels, strict=True)
            ]
        )
        torch.testing.assert_close(mixer(x), joined(mixer, weights @ value, x, local), rtol=0, atol=1e-5)


def test_rala_turns_queries_and_keys_in_the_numerator_only():
    mixer = build('rala', head_dim=16)
    x = torch.randn(2, CHANNELS, 5, 6)
    with torch.inference_mode():
        query, key, value, gate = mixer.qkvo(x).chunk(4, dim=1)
        local = mixer.lepe(value)
        query, key, value = (one.unflatten(1, (4, 16)).flatten(3).mT for one in (query, key, value))
        query, key = F.elu(query) + 1, F.elu(key) + 1
        share = (key @ query.mean(dim=2)[..., None] / 4).softmax(dim=2).mT  # of each key, (B, heads, 1, N)
        # pairs of channels as complex numbers: 4 for rows, then 4 for columns
        speeds = 10000 ** -torch.linspace(0, 1, 4)
        rows, columns = torch.arange(30) // 6, torch.arange(30) % 6
        angles = torch.cat([rows[:, None] * speeds, columns[:, None] * speeds], dim=1)
        turned_query, turned_key = (
            torch.view_as_complex(one.unflatten(3, (8, 2)).contiguous()) * torch.polar(torch.ones(30, 8), angles)
            for one in (query, key)
        )
        weights = share * (turned_query @ turned_key.conj().mT).real
        weights = weights / ((share * (query @ key.mT)).sum(dim=3, keepdim=True) + 1e-6)
        assert (weights.sum(dim=3) - 1).abs().max() > 0.05
        expected = mixer.proj(((weights @ value).mT.flatten(1, 2).view_as(x) + local) * gate)
        torch.testing.assert_close(mixer(x), expected, rtol=0, atol=1e-5)


def test_single_head_attention_leaves_other_channels_to_the_projection(randomize):
    mixer = randomize(build('single_head'))
    assert mixer.partial_dim == 14
    x = torch.randn(2, CHANNELS, 5, 6)
    shuffled = x.clone()
    shuffled[:, 14:] = x[:, 14:].flatten(2)[:, :, torch.randperm(30)].view(2, 50, 5, 6)
    nn.init.zeros_(mixer.attn.proj[1].c.weight[:, 14:])
    with torch.inference_mode():
        assert torch.equal(mixer(x), mixer(shuffled))
