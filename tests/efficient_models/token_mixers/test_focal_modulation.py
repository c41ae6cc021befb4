import pytest
import torch
from timm.models import focalnet

from projects.efficient_models.token_mixers.focal_modulation import FocalModulation


@pytest.mark.parametrize('kernel_sizes', [(3, 5), (9, 11, 13)])
def test_timms_weights_give_timms_map(kernel_sizes, randomize):
    theirs = focalnet.FocalModulation(24, focal_window=kernel_sizes[0], focal_level=len(kernel_sizes))
    ours = FocalModulation(24, kernel_sizes).eval()
    ours.load_state_dict(randomize(theirs).eval().state_dict())
    x = torch.randn(2, 24, 9, 6)
    with torch.inference_mode():
        torch.testing.assert_close(ours(x), theirs(x), rtol=0, atol=1e-5)


def test_wider_kernels_padded_with_zeros_change_nothing(randomize):
    """How the authors enlarge the kernels of a trained network for detection."""
    small, large = randomize(FocalModulation(16, (3, 5))).eval(), FocalModulation(16, (9, 11)).eval()
    weights = small.state_dict()
    for index in range(2):
        key = f'focal_layers.{index}.0.weight'
        weights[key] = torch.nn.functional.pad(weights[key], (3, 3, 3, 3))
    large.load_state_dict(weights)
    x = torch.randn(1, 16, 8, 7)
    with torch.inference_mode():
        torch.testing.assert_close(large(x), small(x), rtol=0, atol=1e-6)


def test_without_the_gate_of_the_whole_map_context_is_local(randomize):
    mixer = randomize(FocalModulation(16, (3, 5))).eval()
    with torch.no_grad():
        mixer.f.weight[-1], mixer.f.bias[-1] = 0, 0
        x = torch.randn(1, 16, 12, 12)
        shifted = mixer(x.roll((2, 3), (2, 3)))
        expected = mixer(x).roll((2, 3), (2, 3))
        reach = 1 + 2
        inner = (..., slice(2 + reach, -reach), slice(3 + reach, -reach))
        torch.testing.assert_close(shifted[inner], expected[inner], rtol=0, atol=1e-6)
        x[..., 0, 0] += 1
        assert torch.equal(mixer(x)[..., 6:, 6:], expected.roll((-2, -3), (2, 3))[..., 6:, 6:])
