"""Tokens beside a feature map: gathering from the map, exchange, and giving to it (Mobile-Former, arXiv 2108.05895)."""

import torch
from timm.layers import DropPath
from torch import nn
from torch.nn import functional as F

NUM_BRIDGE_HEADS = 2  # between map and tokens
NUM_TOKEN_HEADS = 4
REDUCTION = 4  # hidden units of the activations' coefficients per unit of a token


def split_heads(x: torch.Tensor, num_heads: int) -> torch.Tensor:
    """Map (B, N, C) to (B, num_heads, N, C / num_heads)."""
    return x.unflatten(2, (num_heads, -1)).transpose(1, 2)


def attend(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, num_heads: int) -> torch.Tensor:
    """Multi-head attention of a query (B, N, C) to keys and values (B, M, C); returns (B, N, C)."""
    query, key, value = (split_heads(x, num_heads) for x in (query, key, value))
    return F.scaled_dot_product_attention(query, key, value).transpose(1, 2).flatten(2)


class LocalToGlobal(nn.Module):
    """Gathers from the map into the tokens; the positions are keys and values as they are.

    Args:
        dim: Channels of the map.
        token_dim: Units of a token.
        drop_path: Probability of dropping the update of a sample in training.
    """

    def __init__(self, dim: int, token_dim: int, drop_path: float = 0.0) -> None:
        super().__init__()
        self.alpha = nn.Sequential(nn.Linear(token_dim, dim), nn.Hardsigmoid())
        self.q = nn.Linear(token_dim, dim)
        self.proj = nn.Linear(dim, token_dim)
        self.layer_norm = nn.LayerNorm(token_dim)
        self.drop_path = DropPath(drop_path) if drop_path else nn.Identity()

    def forward(self, x: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
        """Update the tokens (B, T, D) from the map (B, C, H, W)."""
        positions = x.flatten(2).transpose(1, 2)
        gathered = attend(self.q(tokens), positions, positions, NUM_BRIDGE_HEADS) * (2 * self.alpha(tokens))
        return self.layer_norm(tokens + self.drop_path(self.proj(gathered)))


class GlobalBlock(nn.Module):
    """Attention among the tokens, which are keys and values as they are, and a perceptron.

    Args:
        token_dim: Units of a token.
        drop_path: Probability of dropping each update of a sample in training.
    """

    def __init__(self, token_dim: int, drop_path: float) -> None:
        super().__init__()
        self.ffn = nn.Sequential(nn.Linear(token_dim, 2 * token_dim), nn.GELU(), nn.Linear(2 * token_dim, token_dim))
        self.ffn_norm = nn.LayerNorm(token_dim)
        self.q = nn.Linear(token_dim, token_dim)
        self.channel_mlp = nn.Linear(token_dim, token_dim)
        self.layer_norm = nn.LayerNorm(token_dim)
        self.drop_path = DropPath(drop_path) if drop_path else nn.Identity()

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """Update the tokens, shape (B, T, D)."""
        attended = self.channel_mlp(attend(self.q(tokens), tokens, tokens, NUM_TOKEN_HEADS))
        tokens = self.layer_norm(tokens + self.drop_path(attended))
        return self.ffn_norm(tokens + self.drop_path(self.ffn(tokens)))


class GlobalToLocal(nn.Module):
    """Gives from the tokens to the map, whose positions are the queries as they are.

    Args:
        dim: Channels of the map.
        token_dim: Units of a token.
        drop_path: Probability of dropping what is given to a sample in training.
    """

    def __init__(self, dim: int, token_dim: int, drop_path: float) -> None:
        super().__init__()
        self.k = nn.Linear(token_dim, dim)
        self.proj = nn.Linear(token_dim, dim)
        self.drop_path = DropPath(drop_path) if drop_path else nn.Identity()

    def forward(self, x: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
        """Update the map (B, C, H, W) from the tokens (B, T, D)."""
        positions = x.flatten(2).transpose(1, 2)
        given = attend(positions, self.k(tokens), self.proj(tokens), NUM_BRIDGE_HEADS)
        return x + self.drop_path(given).transpose(1, 2).reshape(x.shape)


class DynamicReLU(nn.Module):
    """max(2 a x, (2 b - 1) x), with a and b in [0, 1] for each channel from a token (arXiv 2003.10027).

    Args:
        dim: Channels of the map.
        token_dim: Units of the token.
    """

    def __init__(self, dim: int, token_dim: int) -> None:
        super().__init__()
        hidden = token_dim // REDUCTION
        self.hyper = nn.Sequential(
            nn.Linear(token_dim, hidden), nn.ReLU(), nn.Linear(hidden, 2 * dim), nn.Hardsigmoid()
        )

    def forward(self, x: torch.Tensor, token: torch.Tensor) -> torch.Tensor:
        """Activate a map (B, C, H, W) by a token (B, D)."""
        a, b = (2 * self.hyper(token))[:, :, None, None].chunk(2, dim=1)
        return torch.maximum(x * a, x * (b - 1))
