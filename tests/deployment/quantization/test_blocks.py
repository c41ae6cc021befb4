"""Blocks are found where ways part and meet, are computed again, and their weights are learnt together."""

import copy

import pytest
import torch

from projects.deployment.quantization.block_rounding import learn_block
from projects.deployment.quantization.blocks import find_blocks, run_blocks
from projects.deployment.quantization.grids import fake_quantize
from projects.deployment.quantization.learned_rounding import Choice
from projects.deployment.quantization.quantize import quantize
from projects.deployment.quantization.settings import QuantizationSettings
from projects.deployment.quantization.tape import Tape, replay
from projects.efficient_models.layers.batch_norm_folding import fold_batch_norms

from .test_trio import Efficient
from .tiny import Tiny, pictures

CONTEXT, LOCAL = ('backbone.block.context_module.main', 'backbone.block.local_module.main')
BLOCKS = [
    {f'{CONTEXT}.qkv.conv', f'{CONTEXT}.aggreg.0.0', f'{CONTEXT}.aggreg.0.1', f'{CONTEXT}.proj.conv'},
    {f'{LOCAL}.inverted_conv.conv', f'{LOCAL}.depth_conv.conv', f'{LOCAL}.point_conv.conv'},
]


@pytest.fixture(scope='module')
def graph():
    graph = Efficient()
    fold_batch_norms(graph, torch.from_numpy(pictures(1)[0]).float())
    return graph


@pytest.fixture(scope='module')
def blocks(graph):
    return run_blocks(graph, pictures(12), 0)


def test_blocks_are_residual_branches(blocks):
    """The head reads two levels and has a layer that both share: no block reaches into it."""
    assert [{name.removesuffix('.weight') for name in block.weights} for block in blocks] == BLOCKS


def test_a_block_around_attention_holds_it():
    graph, image = Tiny(), torch.from_numpy(pictures(1)[0])
    tape = Tape(graph)
    with torch.enable_grad(), tape.following():
        given = image.float().requires_grad_()
        graph.head_outputs(given)
    held = [
        [step.call.site for step in tape.between(first, last) if step.call is not None]
        for first, last in find_blocks(tape, given)
    ]
    assert held == [['backbone.depthwise#0'], ['backbone.qkv#0', 'backbone#0', 'backbone#1']]


def test_steps_of_one_image_compute_another(blocks):
    for block in blocks:
        assert len(block.outputs) == 12
        assert not torch.allclose(block.outputs[0], block.outputs[5])
        torch.testing.assert_close(replay(block.steps, block.given[5]), block.outputs[5])
        assert block.importance[5].shape == block.outputs[5].shape
        assert block.importance[5].max() > 0


def test_what_is_learnt_together_errs_less(graph, blocks):
    quantized = quantize(graph, pictures(12), QuantizationSettings('mse', 4))
    grids, block = quantized.scheme, blocks[1]
    exact = dict(graph.named_parameters())
    choices = {name: Choice(exact[name], grids.weights[name]) for name in block.weights}
    nearest = {name: choice.nearest for name, choice in choices.items()}
    learnt = learn_block(block, choices, grids.inputs, nearest, 0)

    def error(weights):
        def on_call(call, operands):
            return call.compute(
                (fake_quantize(operands[0], grids.inputs[f'{call.site}:0']),), weights[call.weight_name]
            )

        unseen = run_blocks(graph, pictures(4, seed=9), 0)[1]
        return sum(
            ((replay(unseen.steps, given, on_call) - output).square() * importance).sum()
            for given, output, importance in zip(unseen.given, unseen.outputs, unseen.importance, strict=True)
        )

    with torch.no_grad():
        assert error(learnt) < 0.95 * error(nearest)
    for name, weight in learnt.items():
        steps = weight / grids.weights[name].scale_tensor(weight)
        torch.testing.assert_close(steps, steps.round(), atol=1e-3, rtol=0)


def test_what_is_not_better_is_not_taken(blocks, graph):
    """Weights that are exact cannot be bettered."""
    block, exact = copy.copy(blocks[1]), dict(graph.named_parameters())
    grids = quantize(graph, pictures(12), QuantizationSettings('mse', 4)).scheme.weights
    choices = {name: Choice(exact[name], grids[name]) for name in block.weights}
    start = {name: exact[name].detach() for name in block.weights}
    kept = learn_block(block, choices, {}, start, 0)
    assert all(torch.equal(kept[name], start[name]) for name in start)
