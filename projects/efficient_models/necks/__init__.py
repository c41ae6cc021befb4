"""Necks: from backbone levels to a feature pyramid."""

from .upsampling_fpn import UpsamplingFPN

__all__ = ['UpsamplingFPN']
