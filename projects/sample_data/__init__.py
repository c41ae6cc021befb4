"""Small generated data sets in the exact on-disk formats of the real ones."""

from .shrink import use_sample

__all__ = ['use_sample']
