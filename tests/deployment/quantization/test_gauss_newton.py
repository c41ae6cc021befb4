import torch

from projects.deployment.quantization.gauss_newton import probe, sigmoid_probe, softmax_probe


def test_probes_of_a_softmax_have_its_curvature():
    """E[u uᵀ] = diag(p) - p pᵀ."""
    logits = torch.tensor([1.0, -0.5, 0.3, 2.0]).repeat(200000, 1)
    u = softmax_probe(logits, 1, torch.Generator().manual_seed(0))
    p = logits[0].softmax(0)
    torch.testing.assert_close(u.T @ u / len(u), p.diag() - torch.outer(p, p), atol=2e-3, rtol=0)


def test_probes_of_a_sigmoid_have_its_curvature():
    u = sigmoid_probe(torch.tensor([[-2.0, 0.5]]).repeat(200000, 1), torch.Generator().manual_seed(0))
    p = torch.tensor([-2.0, 0.5]).sigmoid()
    torch.testing.assert_close(u.square().mean(0), p * (1 - p), atol=2e-3, rtol=0)


def test_squared_gradients_are_the_diagonal_behind_a_layer():
    """Of z = W x, the diagonal of Wᵀ (diag(p) - p pᵀ) W."""
    torch.manual_seed(0)
    weight, x = torch.randn(4, 3), torch.randn(3)
    p = (weight @ x).softmax(0)
    exact = (weight.T @ (p.diag() - torch.outer(p, p)) @ weight).diagonal()
    generator, squares = torch.Generator().manual_seed(1), torch.zeros(3)
    for _ in range(4000):
        given = x.clone().requires_grad_()
        scalar = probe({'cls': (weight @ given)[None]}, generator)
        squares += torch.autograd.grad(scalar, given)[0].square() / 4000
    torch.testing.assert_close(squares, exact, rtol=0.1, atol=0)


def test_boxes_count_by_the_score_of_their_place():
    generator = torch.Generator().manual_seed(0)
    scores = torch.full((1, 1, 1, 300), -6.0)
    scores[..., :2] = torch.tensor([3.0, 0.0])
    deltas = torch.zeros(1, 4, 1, 300, requires_grad=True)
    squares = torch.zeros_like(deltas)
    for _ in range(300):
        scalar = probe({'rpn_cls.0': scores, 'rpn_box.0': deltas}, generator)
        squares += torch.autograd.grad(scalar, deltas)[0].square() / 300
    by_place = squares.mean((0, 1, 2))
    expected = scores.sigmoid().flatten().square() / 100
    torch.testing.assert_close(by_place[:2], expected[:2], rtol=0.2, atol=0)
    assert by_place[2:].max() < 1e-6
