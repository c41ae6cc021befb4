"""How much each output of a layer matters to what a network says: the diagonal of the Gauss-Newton matrix, by probes.

The Kullback-Leibler divergence of a network from itself is zero and so is its gradient, which leaves nothing to weigh
errors with. Its curvature is not: for logits with probabilities p it is H = diag(p) - p pᵀ. If u is drawn such that
E[u uᵀ] = H, and g is the gradient of logits · u at some layer's output, E[g²] is the diagonal of Jᵀ H J there.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor

NUM_PROBES = 4
BEST_LOCATIONS = 100  # of which a detector's boxes count: as many as COCO's evaluation takes of an image


def softmax_probe(logits: Tensor, dim: int, generator: torch.Generator) -> Tensor:
    """A draw of u with E[u uᵀ] = diag(p) - p pᵀ, for classes along `dim`: √p ε - p (√p · ε), ε normal."""
    p = logits.softmax(dim)
    drawn = p.sqrt() * _normal(logits, generator)
    return drawn - p * drawn.sum(dim, keepdim=True)


def sigmoid_probe(logits: Tensor, generator: torch.Generator) -> Tensor:
    """The same for independent yes and no: √(p (1 - p)) ε."""
    p = logits.sigmoid()
    return (p * (1 - p)).sqrt() * _normal(logits, generator)


def probe(outputs: dict[str, Tensor], generator: torch.Generator) -> Tensor:
    """The scalar logits · u for one draw, over all outputs of `ImageGraph.head_outputs`.

    Each kind of output counts as the mean over its pixels, proposals or, in dense heads, `BEST_LOCATIONS`. Boxes count
    by the score of their location, and those beyond the best ones do not, lest false positives steer the ranges.
    """
    scalars = []
    for prefix in ('rpn_', ''):
        levels = [name.rpartition('.')[2] for name in outputs if name.startswith(f'{prefix}cls.')]
        if levels:
            scores = [outputs[f'{prefix}cls.{level}'] for level in levels]
            boxes = [outputs[f'{prefix}box.{level}'] for level in levels]
            scalars.append(_dense(scores, boxes, generator) / math.sqrt(BEST_LOCATIONS))
    if 'cls' in outputs:
        logits = outputs['cls']
        with torch.no_grad():
            u = sigmoid_probe(logits, generator) if logits.shape[1] == 1 else softmax_probe(logits, 1, generator)
        scalars.append((logits * u).sum() / math.sqrt(max(logits.numel() // logits.shape[1], 1)))
    if 'box' in outputs:
        deltas = outputs['box']
        with torch.no_grad():
            foreground = outputs['cls'].softmax(1)[:, :-1]
            best = foreground.amax(1)
            weights = foreground * (best >= _threshold(best))[:, None]
            agnostic = deltas.shape[1] == 4
            weights = (best * (best >= _threshold(best)))[:, None] if agnostic else weights
            u = weights.repeat_interleave(4, 1) * _normal(deltas, generator)
        scalars.append((deltas * u).sum() / math.sqrt(BEST_LOCATIONS))
    if outputs.get('mask') is not None and outputs['mask'].numel():
        logits = outputs['mask']
        with torch.no_grad():
            u = sigmoid_probe(logits, generator)
        scalars.append((logits * u).sum() / math.sqrt(logits.numel()))
    return torch.stack(scalars).sum()


def probes(seed: int, number: int = NUM_PROBES) -> Callable[[dict[str, Tensor], int], list[Tensor]]:
    """What `observe` asks for: from outputs and the number of an image to scalars."""

    def draw(outputs: dict[str, Tensor], image: int) -> list[Tensor]:
        generator = torch.Generator().manual_seed(seed * 100003 + image)
        return [probe(outputs, generator) for _ in range(number)]

    return draw


def _dense(scores: list[Tensor], boxes: list[Tensor], generator: torch.Generator) -> Tensor:
    total = scores[0].new_zeros(())
    with torch.no_grad():
        best = [_of_anchors(score, deltas).amax(2) for score, deltas in zip(scores, boxes, strict=True)]
        least = _threshold(torch.cat([one.flatten() for one in best]))
    for score, deltas, weight in zip(scores, boxes, best, strict=True):
        with torch.no_grad():
            kept = (weight * (weight >= least)).repeat_interleave(4, 1)
            u, v = sigmoid_probe(score, generator), kept * _normal(deltas, generator)
        total = total + (score * u).sum() + (deltas * v).sum()
    return total


def _of_anchors(score: Tensor, deltas: Tensor) -> Tensor:
    """Probabilities (B, A, C, h, w) of maps (B, A * C, h, w), beside deltas (B, A * 4, h, w)."""
    return score.sigmoid().unflatten(1, (deltas.shape[1] // 4, -1))


def _threshold(scores: Tensor) -> Tensor:
    """The least of the best."""
    return scores.topk(min(BEST_LOCATIONS, scores.numel())).values[-1] if scores.numel() else scores.new_zeros(())


def _normal(like: Tensor, generator: torch.Generator) -> Tensor:
    return torch.randn(like.shape, generator=generator).to(like.device)
