import math

import pytest
import torch
from torch.nn import functional as F

from projects.building_extraction.knowledge_transfer import BuildingLoss
from projects.building_extraction.knowledge_transfer.losses import SUMS, bernoulli_divergence

# p = 0.8, 0.6, 0.3, 0.1 of a building; the first and the third are buildings
PROBABILITIES = torch.tensor([0.8, 0.6, 0.3, 0.1])
LABELS = torch.tensor([[[1, 0], [1, 0]]])
OVERLAP = 0.8 + 0.3
DICE = 1 - 2 * OVERLAP / (1.8 + 2)
JACCARD = 1 - OVERLAP / (1.8 + 2 - OVERLAP)
BCE = -(math.log(0.8) + math.log(0.4) + math.log(0.3) + math.log(0.9)) / 4
FOCAL = -(
    0.2**2 * math.log(0.8) + 0.6**2 * math.log(0.4) + 0.7**2 * math.log(0.3) + 0.1**2 * math.log(0.9)
) / 4  # fmt: skip
BY_HAND = {
    'jaccard': JACCARD,
    'dice': DICE,
    'binary_focal': FOCAL,
    'binary_crossentropy': BCE,
    'bce+dice': BCE + DICE,
    'bce+jaccard': BCE + JACCARD,
    'focal+dice': FOCAL + DICE,
    'focal+jaccard': FOCAL + JACCARD,
    'total': FOCAL + DICE,
}


def logits():
    return torch.logit(PROBABILITIES).reshape(1, 1, 2, 2)


def test_there_are_nine_losses():
    assert set(SUMS) == set(BY_HAND)
    assert len(SUMS) == 9


@pytest.mark.parametrize('name', BY_HAND)
def test_a_loss_has_the_value_that_a_hand_computes(name):
    loss = BuildingLoss(name)
    assert loss.loss_name == f'loss_{name}'
    assert loss(logits(), LABELS).item() == pytest.approx(BY_HAND[name], abs=1e-5)
    assert BuildingLoss(name, loss_weight=2.0)(logits(), LABELS).item() == pytest.approx(2 * BY_HAND[name], abs=1e-5)


@pytest.mark.parametrize('name', BY_HAND)
def test_ignored_pixels_change_neither_loss_nor_gradient(name):
    wide = torch.cat([logits(), torch.tensor([[[[3.0], [-5.0]]]])], dim=3).requires_grad_()
    labels = torch.cat([LABELS, torch.full((1, 2, 1), 255)], dim=2)
    loss = BuildingLoss(name)(wide, labels)
    loss.backward()
    assert loss.item() == pytest.approx(BY_HAND[name], abs=1e-5)
    assert wide.grad[..., -1].eq(0).all()
    assert wide.grad[..., :-1].ne(0).all()
    labels[..., -1] = 7
    assert BuildingLoss(name)(wide, labels, ignore_index=7).item() == pytest.approx(BY_HAND[name], abs=1e-5)


@pytest.mark.parametrize('name', BY_HAND)
def test_a_batch_without_valid_pixels_has_no_loss(name):
    x = logits().requires_grad_()
    loss = BuildingLoss(name)(x, torch.full_like(LABELS, 255))
    loss.backward()
    assert loss.item() == 0
    assert x.grad.eq(0).all()


@pytest.mark.parametrize('name', BY_HAND)
def test_a_loss_is_finite_for_extreme_logits_of_half_precision(name):
    x = torch.tensor([[[[300.0, 300.0], [-300.0, -300.0]]]], dtype=torch.bfloat16, requires_grad=True)
    loss = BuildingLoss(name)(x, LABELS)
    loss.backward()
    assert loss.dtype == torch.float32
    assert loss.isfinite()
    assert x.grad.isfinite().all()


def test_what_a_loss_cannot_do_is_refused():
    with pytest.raises(ValueError, match=r"one of jaccard, dice, binary_focal, .* got 'lovasz'"):
        BuildingLoss('lovasz')
    with pytest.raises(ValueError, match=r'got \(1, 2, 2, 2\)\. Set num_classes=2, out_channels=1'):
        BuildingLoss('dice')(torch.zeros(1, 2, 2, 2), LABELS)
    with pytest.raises(ValueError, match='remove sampler'):
        BuildingLoss('dice')(logits(), LABELS, weight=torch.ones(1, 2, 2))


# Divergence


def random_pair(*shape):
    return 3 * torch.randn(*shape), 3 * torch.randn(*shape)


@pytest.mark.parametrize('temperature', [1.0, 4.0])
def test_the_divergence_is_that_of_torch_between_two_classes(temperature):
    own, target = random_pair(2, 1, 5, 6)
    labels = torch.zeros(2, 5, 6, dtype=torch.long)

    def two_classes(x):
        return F.log_softmax(torch.cat([torch.zeros_like(x), x], dim=1) / temperature, dim=1)

    expected = F.kl_div(two_classes(own), two_classes(target), log_target=True, reduction='sum') / own.numel()
    torch.testing.assert_close(bernoulli_divergence(own, target, labels, temperature), expected)


def test_the_divergence_has_the_value_that_a_hand_computes():
    own, target = torch.logit(torch.tensor([0.5, 0.9])), torch.logit(torch.tensor([0.8, 0.9]))
    value = bernoulli_divergence(own.view(1, 1, 1, 2), target.view(1, 1, 1, 2), torch.zeros(1, 1, 2))
    expected = (0.8 * math.log(0.8 / 0.5) + 0.2 * math.log(0.2 / 0.5)) / 2
    assert value.item() == pytest.approx(expected, abs=1e-6)


def test_the_gradient_of_the_divergence_is_its_closed_form():
    own, target = random_pair(2, 1, 5, 6)
    own.requires_grad_()
    target.requires_grad_()
    labels = torch.zeros(2, 5, 6, dtype=torch.long)
    labels[:, :, 0] = 255
    bernoulli_divergence(own, target, labels, temperature=3.0).backward()
    valid = (labels != 255)[:, None]
    expected = torch.where(valid, (own / 3).sigmoid() - (target / 3).sigmoid(), 0) / (3 * valid.sum())
    torch.testing.assert_close(own.grad, expected.detach())
    assert target.grad is None


def test_the_divergence_is_finite_for_extreme_logits_and_zero_without_valid_pixels():
    own, target = torch.full((1, 1, 2, 2), 1e4), torch.full((1, 1, 2, 2), -1e4)
    assert bernoulli_divergence(own, target, LABELS).item() == pytest.approx(1e4)
    assert bernoulli_divergence(own, own, LABELS).item() == 0
    assert bernoulli_divergence(own, target, torch.full_like(LABELS, 255)).item() == 0
