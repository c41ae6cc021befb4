import pytest
import torch
from torch.nn import functional as F

from projects.deployment.inference_graphs.free_sizes import AdaptiveAveragePool


@pytest.mark.parametrize('size', [(6, 6), (7, 11), (3, 4), (16, 20)], ids=str)
@pytest.mark.parametrize('bins', [(2, 3), (6, 6)], ids=str)
def test_pooling_equals_that_of_pytorch(size, bins):
    x = torch.randn(2, 3, *size)
    torch.testing.assert_close(AdaptiveAveragePool(*bins)(x), F.adaptive_avg_pool2d(x, bins))
