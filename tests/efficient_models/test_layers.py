import pytest
import torch
from mmengine.model import convert_sync_batchnorm
from torch import nn

from projects.efficient_models.backbones import EfficientViTMIT, EfficientViTMSRA, SHViT
from projects.efficient_models.layers.block_sequence import BlockSequence
from projects.efficient_models.layers.conv_norm import ConvNorm, Residual, fuse


def test_conv_norm_by_hand():
    """One channel, kernel 3 with a 2 in its middle: y = (2x - mean) / sqrt(var + eps) * scale + shift."""
    layer = ConvNorm(1, 1, 3).eval()
    nn.init.zeros_(layer.c.weight)
    layer.c.weight.data[0, 0, 1, 1] = 2
    layer.bn.running_mean.fill_(1)
    layer.bn.running_var.fill_(4 - layer.bn.eps)
    layer.bn.weight.data.fill_(3)
    layer.bn.bias.data.fill_(-1)
    x = torch.tensor([[[[1.0, 2.0], [-1.0, 0.5]]]])
    expected = (2 * x - 1) / 2 * 3 - 1
    torch.testing.assert_close(layer(x), expected)
    torch.testing.assert_close(fuse(layer)(x), expected)


@pytest.mark.parametrize('options', [{}, {'kernel_size': 3, 'stride': 2}, {'kernel_size': 5, 'groups': 6}], ids=str)
def test_fused_conv_norm(options, randomize):
    layer = randomize(ConvNorm(6, 6, **options)).eval()
    x = torch.randn(2, 6, 7, 9)
    fused = fuse(layer)
    assert type(fused) is nn.Conv2d
    torch.testing.assert_close(fused(x), layer(x))


def test_norm_scale():
    assert ConvNorm(2, 2, norm_scale=0.0).bn.weight.tolist() == [0, 0]
    assert ConvNorm(2, 2).bn.weight.tolist() == [1, 1]


@pytest.mark.parametrize('kernel_size', [1, 3, 5])
def test_depthwise_residual_fuses_into_one_convolution(kernel_size, randomize):
    block = randomize(Residual(ConvNorm(4, 4, kernel_size, groups=4), drop_path=0.5)).eval()
    x = torch.randn(2, 4, 6, 5)
    expected = block(x)
    fused = fuse(block)
    assert type(fused) is nn.Conv2d
    torch.testing.assert_close(fused(x), expected)


def test_other_residuals_keep_their_addition(randomize):
    """An identity does not fit a dense kernel's group layout, nor a branch of several layers."""
    x = torch.randn(2, 4, 6, 5)
    for branch in (ConvNorm(4, 4, 3), nn.Sequential(ConvNorm(4, 4, 3, groups=4), nn.ReLU())):
        block = randomize(Residual(branch)).eval()
        expected = block(x)
        fused = fuse(block)
        assert fused is block
        assert not [module for module in fused.modules() if isinstance(module, nn.BatchNorm2d)]
        torch.testing.assert_close(fused(x), expected)


def test_residual_drops_whole_samples_and_rescales():
    block = Residual(nn.Identity(), drop_path=0.25)
    ratios = block(torch.ones(4000, 1, 2, 2)).flatten(1)
    kept = ratios[:, 0] > 1
    torch.testing.assert_close(ratios[kept], torch.full_like(ratios[kept], 1 + 1 / 0.75))
    assert (ratios[~kept] == 1).all()
    assert kept.float().mean().item() == pytest.approx(0.75, abs=0.03)
    assert (block.eval()(torch.ones(3, 1, 2, 2)) == 2).all()


@pytest.mark.parametrize('momentum', [0.3, None])
def test_checkpointed_blocks_update_statistics_once(momentum):
    """The second forward pass of a checkpoint must not count as a batch."""
    sequences = []
    for with_cp in (False, True):
        torch.manual_seed(1)
        sequence = BlockSequence(ConvNorm(2, 2), ConvNorm(2, 2), with_cp=with_cp)
        for block in sequence:
            block.bn.momentum = momentum
        for _ in range(2):
            sequence(torch.randn(4, 2, 3, 3)).square().mean().backward()
        assert [block.bn.momentum for block in sequence] == [momentum] * 2
        assert [block.bn.num_batches_tracked.item() for block in sequence] == [2, 2]
        sequences.append(sequence)
    torch.testing.assert_close(sequences[0].state_dict(), sequences[1].state_dict(), rtol=0, atol=0)


def test_checkpointed_blocks_with_synchronized_norms():
    """As on several GPUs."""
    sequence = convert_sync_batchnorm(BlockSequence(ConvNorm(2, 2), ConvNorm(2, 2), with_cp=True))
    sequence(torch.randn(4, 2, 3, 3)).square().mean().backward()
    assert [block.bn.num_batches_tracked.item() for block in sequence] == [1, 1]
    assert all(isinstance(block.bn, nn.SyncBatchNorm) for block in sequence)


def test_no_checkpoints_without_gradients(monkeypatch):
    sequence = BlockSequence(nn.Identity(), with_cp=True)
    monkeypatch.delattr('projects.efficient_models.layers.block_sequence.checkpoint')
    with torch.no_grad():
        assert sequence(torch.ones(1)) == 1
    with pytest.raises(NameError, match='checkpoint'):
        sequence(torch.ones(1))


@pytest.mark.parametrize('network', [(SHViT, 's1'), (EfficientViTMSRA, 'm0'), (EfficientViTMIT, 'b0')], ids=str)
@pytest.mark.parametrize('layout', [torch.contiguous_format, torch.channels_last], ids=str)
@pytest.mark.parametrize('batch_size', [1, 2])
def test_maps_are_channels_last_on_cpus(network, layout, batch_size):
    """In all layers, whatever the layout of the images; windows and groups of channels may be parts of larger maps."""
    architecture, arch = network
    network = architecture(arch).eval()
    strides = {}

    def record(module, inputs):
        strides[module] = inputs[0].stride(1)

    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.BatchNorm2d):
            module.register_forward_pre_hook(record)
    with torch.no_grad():
        outputs = network(torch.randn(batch_size, 3, 128, 224).to(memory_format=layout))
    assert len(strides) > 50
    assert set(strides.values()) == {1}
    assert all(output.stride(1) == 1 for output in outputs)
