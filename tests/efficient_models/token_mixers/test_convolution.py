import pytest
import torch
from timm.models import metaformer
from torch import nn

from projects.efficient_models.backbones.efficientmod import ModulationBlock
from projects.efficient_models.token_mixers.convolution import Convolution, Pooling
from projects.efficient_models.token_mixers.efficient_modulation import EfficientModulation


@pytest.mark.parametrize('expansion', [1, 2])
def test_timms_weights_give_timms_convolution(expansion):
    theirs = metaformer.SepConv(24, expansion_ratio=expansion, act1_layer=nn.GELU).eval()
    ours = Convolution(24, expansion=expansion).eval()
    ours.load_state_dict(theirs.state_dict())
    x = torch.randn(2, 24, 9, 6)
    with torch.inference_mode():
        torch.testing.assert_close(ours(x), theirs(x), rtol=0, atol=1e-6)


def test_pooling_is_timms_and_leaves_nothing_of_a_constant_map():
    x = torch.randn(2, 4, 5, 6)
    assert torch.equal(Pooling(4)(x), metaformer.Pooling()(x))
    assert Pooling(1)(torch.tensor([[[[1.0, 5.0]]]])).tolist() == [[[[2.0, -2.0]]]]
    assert Pooling(4)(torch.full((1, 4, 3, 3), 0.5)).abs().max() == 0


@pytest.mark.parametrize('expansion', [1, 4])
def test_modulation_is_that_of_the_backbone(expansion, randomize):
    block = randomize(ModulationBlock(16, expansion, drop_path=0.0)).eval()
    nn.init.ones_(block.gamma_1)
    mixer = EfficientModulation(16, expansion).eval()
    mixer.mlp.load_state_dict(block.mlp.state_dict())
    x = torch.randn(1, 16, 6, 9)
    with torch.inference_mode():
        tokens = x.permute(0, 2, 3, 1)
        update = block(tokens) - tokens
        normed = block.norm(tokens).permute(0, 3, 1, 2)
        torch.testing.assert_close(mixer(normed), update.permute(0, 3, 1, 2), rtol=0, atol=1e-5)
