"""The head of offsets and heights: turns, encoding, classes, losses by hand, and labels that are missing."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from projects.building_extraction.height_classes import HeightClasses
from projects.building_extraction.roof_offsets.offset_height_head import (
    OffsetHeightHead,
    along_common_lean,
    seen_offset,
)

NAN = math.nan


@pytest.fixture
def head():
    torch.manual_seed(0)
    head = OffsetHeightHead(in_channels=8, conv_channels=8, fc_channels=16, roi_feat_size=5, mask_size=10)
    for layer in (head.offset, head.height, head.evidence):  # more than the small numbers that training begins with
        torch.nn.init.normal_(layer.weight, std=0.3)
    return head.eval()


@pytest.fixture
def features():
    return torch.rand(6, 8, 5, 5, generator=torch.Generator().manual_seed(1))


ROOFS = torch.rand(6, 10, 10, generator=torch.Generator().manual_seed(2))
IMAGES = torch.tensor([0.0, 0, 1, 1, 1, 0])
BOXES = torch.tensor([[0.0, 0, 10, 40], [5, 5, 25, 10], [0, 0, 16, 16], [3, 4, 60, 50], [1, 1, 9, 3], [0, 0, 200, 100]])
ROIS = torch.cat((IMAGES[:, None], BOXES), 1)


def turned(boxes):
    """Counterclockwise in an image of 300 px, where (x, y) becomes (y, 300 - x)."""
    left, top, right, bottom = boxes.unbind(1)
    return torch.stack((top, 300 - right, bottom, 300 - left), 1)


@torch.no_grad()
def test_turned_features_give_turned_offsets_and_the_same_heights(head, features):
    encoded, z, spread, evidence = head(features, ROOFS, BOXES)
    offsets, heights_m = head.decode(encoded, z, BOXES)
    again = head(torch.rot90(features, 1, (2, 3)), torch.rot90(ROOFS, 1, (1, 2)), turned(BOXES))
    offsets_again, heights_again = head.decode(again[0], again[1], turned(BOXES))
    torch.testing.assert_close(offsets_again, torch.stack((offsets[:, 1], -offsets[:, 0]), 1))
    torch.testing.assert_close(heights_again, heights_m)
    torch.testing.assert_close(again[2], spread)
    torch.testing.assert_close(again[3], evidence)
    assert evidence.std() > 1e-3
    assert offsets.abs().min() > 1e-3
    assert not torch.allclose(encoded[:, 0].abs(), encoded[:, 1].abs(), atol=1e-3)


@torch.no_grad()
def test_a_stretched_box_stretches_its_offset(head, features):
    """RoIAlign shows the same pixels of a stretched image in a stretched box."""
    encoded, z, *_ = head(features, ROOFS, BOXES)
    offsets, _ = head.decode(encoded, z, BOXES)
    stretch = torch.tensor([3.0, 0.5])
    stretched = BOXES * stretch.repeat(2)
    encoded, z, *_ = head(features, ROOFS, stretched)
    torch.testing.assert_close(head.decode(encoded, z, stretched)[0], offsets * stretch)


def roof_in_box(left, top, right, bottom):
    roof = torch.zeros(1, 28, 28)
    roof[:, top:bottom, left:right] = 1
    return roof


@pytest.mark.parametrize(
    ('roof', 'expected'),
    [
        ((7, 0, 28, 28), (0.25, 0)),  # the footprint is free on the left: the roof leans to the right
        ((0, 0, 14, 28), (-0.5, 0)),
        ((0, 14, 28, 28), (0, 0.5)),
        ((0, 7, 21, 28), (-0.25, 0.25)),
        ((7, 7, 21, 21), (0, 0)),  # a box that is too large all around
        ((0, 0, 0, 0), (0, 0)),
    ],
)
def test_what_a_roof_in_its_box_shows(roof, expected):
    found = seen_offset(roof_in_box(*roof))
    torch.testing.assert_close(found, torch.tensor([expected], dtype=torch.float32), atol=1e-5, rtol=0)


def test_of_a_roof_that_is_not_sure_nothing_is_seen_and_of_half_a_column_half():
    torch.testing.assert_close(seen_offset(torch.full((1, 28, 28), 0.5)), torch.zeros(1, 2), atol=1e-6, rtol=0)
    roof = 0.2 + 0.6 * roof_in_box(7, 0, 28, 28)  # 0.2 is none, 0.8 is all
    torch.testing.assert_close(seen_offset(roof), torch.tensor([[0.25, 0]]), atol=1e-5, rtol=0)
    roof[:, :, 6] = 0.5
    torch.testing.assert_close(seen_offset(roof), torch.tensor([[6.5 / 28, 0]]), atol=1e-5, rtol=0)


@torch.no_grad()
def test_an_untrained_head_says_what_box_and_roof_show():
    head = OffsetHeightHead()
    box = torch.tensor([[10.0, 20, 50, 120]])
    encoded, z, *_ = head(torch.rand(1, 256, 7, 7), roof_in_box(7, 0, 28, 14), box)
    offsets, heights_m = head.decode(encoded, z, box)
    torch.testing.assert_close(offsets, torch.tensor([[10.0, -50]]), atol=1.5, rtol=0)
    assert 8 < heights_m < 12


def test_masks_get_no_gradient(head, features):
    roofs = ROOFS.clone().requires_grad_()
    losses = head.loss(features, roofs, BOXES, torch.tensor(OFFSETS), torch.tensor(HEIGHTS))
    sum(losses.values()).backward()
    assert roofs.grad is None


def test_encoding_by_hand(head):
    box = torch.tensor([[10.0, 20, 14, 29]])  # 4 x 9: the square root of its area is 6
    offsets, heights_m = head.decode(torch.tensor([[0.5, -1.5]]), torch.tensor([math.log(13)]), box)
    torch.testing.assert_close(offsets, torch.tensor([[3.0, -9.0]]))
    torch.testing.assert_close(heights_m, torch.tensor([12.0]))


@torch.no_grad()
def test_classes_are_what_lies_between_their_limits(head):
    z, spread = torch.tensor([math.log1p(12), 0.5, 6.0]), torch.tensor([0.3, 1.0, 0.1])
    probabilities = head.class_probabilities(z, spread).numpy()
    np.testing.assert_allclose(probabilities.sum(1), 1, rtol=1e-6)
    assert probabilities[0, 0] == pytest.approx(0.5, abs=1e-6)  # 12 m is the limit itself
    logistic = np.random.default_rng(0).logistic(0.5, 1.0, 400_000)
    drawn = np.bincount(HeightClasses().index(np.expm1(logistic)), minlength=5)[:4] / len(logistic)
    np.testing.assert_allclose(probabilities[1], drawn, atol=3e-3)
    assert probabilities[2].argmax() == 3


def losses_of(head, features, offsets, heights_m):
    return head.loss(features, ROOFS, ROIS, torch.tensor(offsets), torch.tensor(heights_m))


OFFSETS = [[3.0, -9.0], [0.0, 1.0], [8.0, 8.0], [-20.0, 4.0], [0.1, 0.0], [60.0, -30.0]]
HEIGHTS = [8.0, 12.0, 40.0, 150.0, 3.0, 34.9]


def test_losses_by_hand(head, features):
    losses = losses_of(head, features, OFFSETS, HEIGHTS)
    encoded, z, spread, evidence = (said.detach() for said in head(features, ROOFS, BOXES))
    side = torch.tensor([math.sqrt(400), 10, 16, math.sqrt(57 * 46), 4, math.sqrt(20_000)])[:, None]
    distance = (encoded - torch.tensor(OFFSETS) / side).abs()
    smooth = torch.where(distance < 0.05, distance**2 / 0.1, distance - 0.025)
    assert losses['loss_offset'].item() == pytest.approx(4.0 * smooth.sum().item() / 6, rel=1e-5)
    together = torch.zeros(6, 2)
    for own in ([0, 1, 5], [2, 3, 4]):
        heights_m, weights = z[own].exp() - 1, evidence[own].exp()
        lean = weights @ (encoded * side)[own] / (weights @ heights_m).clamp(1e-3)
        together[own] = heights_m[:, None] * lean
    distance = ((together - torch.tensor(OFFSETS)) / side).abs()
    smooth = torch.where(distance < 0.05, distance**2 / 0.1, distance - 0.025)
    assert losses['loss_lean'].item() == pytest.approx(4.0 * smooth.sum().item() / 6, rel=1e-5)
    distance = (z - torch.log1p(torch.tensor(HEIGHTS))).abs()
    smooth = torch.where(distance < 0.1, distance**2 / 0.2, distance - 0.05)
    assert losses['loss_height'].item() == pytest.approx(smooth.mean().item(), rel=1e-5)
    own = head.class_probabilities(z, spread).detach()[range(6), [0, 1, 2, 3, 0, 1]]
    assert losses['loss_height_class'].item() == pytest.approx(-0.5 * own.clamp(1e-6).log().mean().item(), rel=1e-5)


def test_the_common_lean_by_hand():
    offsets = torch.tensor([[4.0, 0], [0, 2], [5, 5], [9, 9]])
    heights_m, weights = torch.tensor([10.0, 20, 5, 0]), torch.tensor([1.0, 0.5, 2, 0])
    images = torch.tensor([0, 0, 2, 2])
    # 1: (4 + 0, 0 + 1) / (10 + 10); 2: none; 3: (10, 10) / 10
    expected = torch.tensor([[2.0, 0.5], [4, 1], [5, 5], [0, 0]])
    torch.testing.assert_close(along_common_lean(offsets, heights_m, weights, images, 3), expected)


def test_the_common_lean_is_as_exact_under_autocast():
    """Of 16 bits, half precision overflows at 65504 and bfloat16 has three digits."""
    offsets, heights_m = torch.tensor([[3.0, 1], [60, 20]]).repeat(50, 1), torch.tensor([10.0, 200]).repeat(50)
    given = offsets, heights_m, torch.full((100,), 2980.0), torch.zeros(100, dtype=torch.long), 1
    expected = along_common_lean(*given)
    torch.testing.assert_close(expected, heights_m[:, None] * torch.tensor([3.0, 1]) * 0.1)
    for dtype in (torch.bfloat16, torch.float16):
        with torch.autocast('cpu', dtype):
            torch.testing.assert_close(along_common_lean(*given), expected)


def test_scores_and_evidence_weigh(head):
    encoded, boxes = torch.tensor([[1.0, 0], [0, 1]]), torch.tensor([[0.0, 0, 10, 10]] * 2)
    z, evidence = torch.tensor([10.0, 20]).log1p(), torch.tensor([math.log(3), 0.0])
    scores, images = torch.tensor([0.5, 0.75]), torch.zeros(2, dtype=torch.long)
    # weights 1.5 and 0.75: (15, 7.5) / (15 + 15)
    offsets, heights_m = head.decode_together(encoded, z, evidence, boxes, scores, images, 1)
    torch.testing.assert_close(offsets, torch.tensor([[5.0, 2.5], [10, 5]]))
    torch.testing.assert_close(heights_m, torch.tensor([10.0, 20]))


def test_it_learns_which_buildings_know_the_lean():
    """Half of the buildings show their offsets; what the others show is short, and would make the lean too small."""
    torch.manual_seed(0)
    head = OffsetHeightHead(in_channels=1, conv_channels=4, fc_channels=16)
    shows = torch.arange(16) % 2 == 0
    features = shows.float()[:, None, None, None].expand(-1, 1, 7, 7).contiguous()
    rois = torch.tensor([[0.0, 0, 0, 40, 40]]).repeat(16, 1)
    roofs = torch.where(shows[:, None, None], roof_in_box(7, 0, 28, 21), roof_in_box(0, 0, 28, 28))
    offsets, heights_m = torch.tensor([[10.0, -10]]).repeat(16, 1), torch.full((16,), 10.0)
    optimizer = torch.optim.Adam(head.evidence.parameters(), 0.1)
    for _ in range(100):
        optimizer.zero_grad()
        head.loss(features, roofs, rois, offsets, heights_m)['loss_lean'].backward()
        optimizer.step()
    with torch.no_grad():
        encoded, z, _, evidence = head(features, roofs, rois[:, 1:])
        given = rois[:, 1:], torch.ones(16), torch.zeros(16, dtype=torch.long), 1
        found, _ = head.decode_together(encoded, z, evidence, *given)
        alike, _ = head.decode_together(encoded, z, evidence * 0, *given)
    assert evidence[shows].min() > evidence[~shows].max() + 2
    torch.testing.assert_close(alike, offsets / 2, rtol=0.05, atol=0)
    torch.testing.assert_close(found, offsets, rtol=0.1, atol=0)


def test_offsets_teach_heights_that_are_unknown():
    """Up to a factor: what leans twice as far is twice as tall."""
    torch.manual_seed(0)
    head = OffsetHeightHead(in_channels=1, conv_channels=4, fc_channels=16)
    true_m = torch.tensor([5.0, 10, 20, 40] * 8)
    features = true_m.log()[:, None, None, None].expand(-1, 1, 7, 7).contiguous()
    rois = torch.tensor([[0.0, 0, 0, 40, 40]]).repeat(32, 1)
    roofs = roof_in_box(7, 0, 28, 21).repeat(32, 1, 1)  # all show (10, -10) px
    offsets = true_m[:, None] * torch.tensor([[0.6, -0.6]])
    optimizer = torch.optim.Adam(head.parameters(), 0.01)
    for _ in range(200):
        optimizer.zero_grad()
        head.loss(features, roofs, rois, offsets, true_m * NAN)['loss_lean'].backward()
        optimizer.step()
    with torch.no_grad():
        _, z, *_ = head(features, roofs, rois[:, 1:])
    found = z.exp() - 1
    torch.testing.assert_close(found / found[1], true_m / 10, rtol=0.15, atol=0)


@pytest.mark.parametrize(
    ('offsets', 'heights', 'silent'),
    [
        ([[NAN, NAN]] * 6, HEIGHTS, {'loss_offset', 'loss_lean'}),
        (OFFSETS, [NAN] * 6, {'loss_height', 'loss_height_class'}),
        ([[NAN, NAN]] * 6, [NAN] * 6, {'loss_offset', 'loss_lean', 'loss_height', 'loss_height_class'}),
    ],
)
def test_missing_labels_say_nothing(head, features, offsets, heights, silent):
    losses, full = losses_of(head, features, offsets, heights), losses_of(head, features, OFFSETS, HEIGHTS)
    for name, loss in losses.items():
        assert loss.item() == pytest.approx(0 if name in silent else full[name].item())
    sum(losses.values()).backward()  # every parameter has a gradient, as distributed training demands
    assert all(parameter.grad is not None and parameter.grad.isfinite().all() for parameter in head.parameters())
    assert (head.offset.weight.grad.abs().sum() == 0) == ('loss_offset' in silent)
    assert (head.height.weight.grad.abs().sum() == 0) == ({'loss_lean', 'loss_height'} <= silent)


def test_known_labels_count_the_same_beside_missing_ones(head, features):
    some = losses_of(head, features, [*OFFSETS[:3], *[[NAN, NAN]] * 3], [NAN, *HEIGHTS[1:]])
    alone = head.loss(features[:3], ROOFS[:3], ROIS[:3], torch.tensor(OFFSETS[:3]), torch.tensor(HEIGHTS[:3]))
    assert some['loss_offset'].item() == pytest.approx(alone['loss_offset'].item(), rel=1e-5)
    tall = head.loss(features[1:], ROOFS[1:], ROIS[1:], torch.tensor(OFFSETS[1:]), torch.tensor(HEIGHTS[1:]))
    assert some['loss_height'].item() == pytest.approx(tall['loss_height'].item(), rel=1e-5)


def test_no_boxes(head):
    losses = head.loss(
        torch.zeros(0, 8, 5, 5), torch.zeros(0, 10, 10), torch.zeros(0, 5), torch.zeros(0, 2), torch.zeros(0)
    )
    sum(losses.values()).backward()
    assert {loss.item() for loss in losses.values()} == {0.0}


def test_it_learns_what_boxes_show():
    """Offsets from where two spots lie in the features, heights from how bright they are."""
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    head = OffsetHeightHead(in_channels=2, conv_channels=8, fc_channels=32)
    places = torch.from_numpy(rng.integers(0, 7, (128, 2, 2)))
    heights_m = torch.from_numpy(rng.uniform(3, 120, 128)).float()
    features = torch.zeros(128, 2, 7, 7)
    for index, ((x, y), (footprint_x, footprint_y)) in enumerate(places.tolist()):
        features[index, 0, y, x] = heights_m[index].log1p()
        features[index, 1, footprint_y, footprint_x] = 1
    sizes = torch.from_numpy(rng.uniform(14, 70, (128, 2))).float()
    boxes = F.pad(sizes, (2, 0))
    rois = torch.cat((torch.arange(128)[:, None], boxes), 1)  # alone in its image, each leans as it likes
    offsets = (places[:, 0] - places[:, 1]).float() / 7 * sizes
    roofs = torch.zeros(128, 28, 28)  # nothing is seen of them
    optimizer = torch.optim.Adam(head.parameters(), 3e-3)
    for _ in range(150):
        losses = head.loss(features, roofs, rois, offsets, heights_m)
        optimizer.zero_grad()
        sum(losses.values()).backward()
        optimizer.step()
    with torch.no_grad():
        encoded, z, *_ = head(features, roofs, boxes)
        found, found_m = head.decode(encoded, z, boxes)
    assert (found - offsets).norm(dim=1).mean() < 0.2 * offsets.norm(dim=1).mean()
    assert (found_m / heights_m).log().abs().mean() < 0.3
