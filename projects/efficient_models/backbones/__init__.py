"""Backbones: one file per architecture."""

from .shvit import SHViT

__all__ = ['SHViT']
