"""A small grow space, and configs of its networks with narrow necks and heads."""

import copy
from functools import cache

from mmengine.config import ConfigDict

from projects.architecture_search.space import GrowSpace
from projects.training.config import load_config

SIZE = (64, 96)


def small_space(precisions=('fp32',), image_scales=(1.0,), stem_strides=(4, 8)):
    return GrowSpace(
        precisions,
        image_scales,
        dims=((16, 32), (32,), (32, 64), (32, 64)),
        depths=((1, 2), (1, 2), (1, 3), (1,)),
        mixers=(('convolution',), ('convolution', 'window'), ('convolution', 'softmax'), ('softmax',)),
        stem_strides=stem_strides,
        image_size=SIZE,
    )


@cache
def recipe():
    return load_config('configs/mixer_softmax_fpn_ade20k.py')


def config_of(space, point):
    cfg = copy.deepcopy(recipe())
    cfg.model.backbone = ConfigDict(space.options(point)['model.backbone'])
    cfg.model.neck.out_channels = 16
    cfg.model.decode_head.channels = 16
    return cfg
