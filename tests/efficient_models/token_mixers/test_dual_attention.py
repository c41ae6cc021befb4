import torch

from projects.efficient_models.token_mixers.cross_covariance_attention import CrossCovarianceAttention
from projects.efficient_models.token_mixers.dual_attention import DualAttention
from projects.efficient_models.token_mixers.efficient_attention import EfficientAttention


def test_with_its_residual_connection_it_is_two_residual_branches_in_the_papers_order(randomize):
    mixer = randomize(DualAttention(64, head_dim=16)).eval()
    spatial, channel = EfficientAttention(64, 16).eval(), CrossCovarianceAttention(64, 16).eval()
    spatial.load_state_dict(mixer.spatial.state_dict())
    channel.load_state_dict(mixer.channel.state_dict())
    x = torch.randn(2, 64, 7, 5)
    with torch.inference_mode():
        once = x + spatial(x)
        torch.testing.assert_close(x + mixer(x), once + channel(once), rtol=0, atol=1e-6)
        swapped = x + channel(x)
        assert (swapped + spatial(swapped) - x - mixer(x)).abs().max() > 1e-3
