import pytest
import torch
from timm.models import davit

from projects.efficient_models.token_mixers.channel_attention import ChannelAttention


def from_timm(theirs, dynamic_scale, roles):
    """The mixer with timm's weights; `roles` says which of their three projections are our query, key and value."""
    ours = ChannelAttention(64, 16, dynamic_scale).eval()
    projections = theirs.qkv.weight.chunk(3), theirs.qkv.bias.chunk(3)
    ours.load_state_dict(
        {
            'qkv.weight': torch.cat([projections[0][role] for role in roles])[:, :, None, None],
            'qkv.bias': torch.cat([projections[1][role] for role in roles]),
            'proj.weight': theirs.proj.weight[:, :, None, None],
            'proj.bias': theirs.proj.bias,
        }
    )
    return ours


@pytest.mark.parametrize(
    ('theirs', 'dynamic_scale', 'roles'),
    [
        (davit.ChannelAttention(64, 4, qkv_bias=True), False, (1, 2, 0)),
        (davit.ChannelAttentionV2(64, 4), True, (0, 1, 2)),
    ],
)
def test_both_versions_are_timms(theirs, dynamic_scale, roles, randomize):
    """The first version scores keys against values, and reads queries: the same under other names."""
    ours = from_timm(randomize(theirs).eval(), dynamic_scale, roles)
    x = torch.randn(2, 64, 7, 5)
    with torch.inference_mode():
        expected = theirs(x.flatten(2).transpose(1, 2)).transpose(1, 2).unflatten(2, (7, 5))
        torch.testing.assert_close(ours(x), expected, rtol=0, atol=1e-5)


def test_sums_over_many_tokens_do_not_overflow_in_half_precision():
    mixer = ChannelAttention(32, dynamic_scale=True).eval()
    x = 30 + torch.randn(1, 32, 64, 64)
    with torch.inference_mode(), torch.autocast('cpu', torch.float16):
        assert mixer(x).isfinite().all()
