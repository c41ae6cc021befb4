"""A small network with every kind of site."""

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from projects.deployment.inference_graphs.images import ImageGraph
from projects.deployment.model_info import ModelInfo

INFO = ModelInfo(
    task='semantic segmentation',
    classes=('a', 'b', 'c'),
    palette=((0, 0, 0), (255, 0, 0), (0, 255, 0)),
    mean=(123.675, 116.28, 103.53),  # no pixel lies halfway between two levels, where runtimes round either way
    std=(58.395, 57.12, 57.375),
    input_size=(24, 32),
    batch_size=1,
    config='tiny',
)


class Body(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 16, 3, stride=2, padding=1)
        self.depthwise = nn.Conv2d(16, 16, 3, padding=1, groups=16)
        self.norm = nn.LayerNorm(16)
        self.qkv = nn.Linear(16, 48)
        self.up = nn.ConvTranspose2d(16, 8, 2, stride=2)

    def forward(self, x):
        x = F.hardswish(self.stem(x))
        x = x + F.relu(self.depthwise(x))
        tokens = self.norm(x.flatten(2).transpose(1, 2))
        query, key, value = self.qkv(tokens).unflatten(2, (3, 2, 8)).permute(2, 0, 3, 1, 4)
        attended = F.scaled_dot_product_attention(query, key, value)
        x = x + attended.transpose(1, 2).flatten(2).transpose(1, 2).reshape(x.shape)
        return self.up(x), F.max_pool2d(x, 2)


class Head(nn.Module):
    """Shared between two levels."""

    def __init__(self):
        super().__init__()
        self.squeeze = nn.Conv2d(16, 8, 1)
        self.shared = nn.Conv2d(8, 3, 3, padding=1)

    def forward(self, features):
        fine, coarse = features
        return self.shared(fine) + F.interpolate(self.shared(self.squeeze(coarse)), fine.shape[2:])


class Tiny(ImageGraph):
    output_names = ('probabilities',)

    def __init__(self, seed=0):
        torch.manual_seed(seed)
        model = type('Model', (), {'backbone': Body(), 'with_neck': False})()
        super().__init__(model, INFO.mean, INFO.std, 1)
        self.decode_head = Head()
        self.eval().requires_grad_(False)

    def forward(self, images):
        return (self.decode_head(self.extract_features(images)).softmax(1),)

    def head_outputs(self, images, regions=None):
        return {'cls': self.decode_head(self.extract_features(images))}


def pictures(count, seed=0, size=(24, 32)):
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (count, 1, 4, 4, 3), dtype=np.uint8)
    large = coarse.repeat(size[0] // 4, 2).repeat(size[1] // 4, 3)
    return list((large // 2 + rng.integers(0, 128, large.shape)).astype(np.uint8))
