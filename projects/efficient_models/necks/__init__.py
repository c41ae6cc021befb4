"""Necks: from backbone levels to a feature pyramid."""

from .context_bridge import ContextBridge
from .upsampling_fpn import UpsamplingFPN

__all__ = ['ContextBridge', 'UpsamplingFPN']
