"""Skyline: efficient backbones for dense prediction, on OpenMMLab and timm."""

from pkgutil import extend_path

# the folder `projects` of a checkout of OpenMMLab on the path keeps its place behind this one
__path__ = extend_path(__path__, __name__)
