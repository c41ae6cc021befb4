"""A network of three levels, batches of 64 px, and training runs of a few iterations on them."""

from copy import deepcopy
from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmengine.config import ConfigDict
from mmengine.dataset import BaseDataset
from mmengine.evaluator import BaseMetric
from mmengine.hooks import Hook
from mmengine.logging import MessageHub
from mmengine.registry import DATASETS, METRICS, MODELS, init_default_scope
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample
from torch import nn

import projects.openmmlab_compat
import projects.training  # noqa: F401
from projects.building_extraction import knowledge_transfer  # noqa: F401
from projects.efficient_models.backbones.backbone import Backbone, Level
from projects.efficient_models.decode_heads import SMPHead  # noqa: F401
from projects.training.datasets import SurvivingDataset
from projects.training.runner import Runner

SIDE_PX = 64
WIDTHS = (8, 12, 16, 16)


def block(in_channels, channels):
    return nn.Sequential(
        nn.Conv2d(in_channels, channels, 3, stride=2, padding=1), nn.BatchNorm2d(channels), nn.ReLU(inplace=True)
    )


@MODELS.register_module(force=True)
class TinyBackbone(Backbone):
    """A stem of stride 2 and stages of strides 4 and 8, or to 16."""

    archs = {'tiny': WIDTHS[:3], 'deep': WIDTHS}  # noqa: RUF012

    def build(self, variant):
        self.patch_embed = block(3, variant[0])
        self.stages = nn.ModuleList(block(*pair) for pair in pairwise(variant))
        return tuple(Level(width, 2 ** (index + 1), index) for index, width in enumerate(variant))

    def forward_levels(self, images):
        x = self.patch_embed(images)
        yield x
        for stage in self.stages:
            x = stage(x)
            yield x


def make_sample(labels):
    size = tuple(labels.shape)
    metainfo = {'img_shape': size, 'ori_shape': size, 'pad_shape': size}
    return SegDataSample(metainfo=metainfo, gt_sem_seg=PixelData(data=labels[None]))


@DATASETS.register_module(force=True)
class Squares(SurvivingDataset, BaseDataset):
    """Bright squares on noise, which are the buildings; a column of ignored pixels."""

    METAINFO = {'classes': ('background', 'building')}  # noqa: RUF012

    def __init__(self, length=8, shade=200, **kwargs):
        self.length, self.shade = length, shade
        super().__init__(pipeline=[self.render], serialize_data=False, **kwargs)

    def load_data_list(self):
        return [{'corner': 4 * index % 40} for index in range(self.length)]

    def render(self, info):
        image = np.random.randint(0, 100, (SIDE_PX, SIDE_PX, 3)).astype(np.uint8)
        labels = torch.zeros(SIDE_PX, SIDE_PX, dtype=torch.long)
        square = slice(info['corner'], info['corner'] + 20)
        image[square, square] = self.shade
        labels[square, square] = 1
        labels[:, -1] = 255
        return {'inputs': torch.from_numpy(image).permute(2, 0, 1), 'data_samples': make_sample(labels)}


@METRICS.register_module(force=True)
class ScriptedScore(BaseMetric):
    """Scores that are known before, by iteration."""

    default_prefix = 'building'

    def __init__(self, scores):
        self.scores = scores
        super().__init__()

    def process(self, data_batch, data_samples):
        self.results.append(len(data_samples))

    def compute_metrics(self, results):
        iteration = MessageHub.get_current_instance().get_info('scored_iteration')
        return {'f1': self.scores.get(str(iteration), 0.0)}


class TellIteration(Hook):
    def before_val(self, runner):
        runner.message_hub.update_info('scored_iteration', runner.iter, resumed=False)


@pytest.fixture(autouse=True)
def _mmseg_scope():
    init_default_scope('mmseg')
    torch.manual_seed(0)


@pytest.fixture
def network():
    """Config of an ordinary network, one logit per pixel."""

    def make(decoder='Unet', loss='bce+dice', **options):
        narrow = {'decoder_channels': (16, 12, 8)} if decoder in ('Unet', 'UnetPlusPlus', 'MAnet') else {}
        head = {
            'type': 'SMPHead',
            'decoder': decoder,
            'in_channels': WIDTHS[:3],
            'strides': (2, 4, 8),
            'num_classes': 2,
            'out_channels': 1,
            'threshold': 0.5,
            'decoder_options': narrow,
            'loss_decode': {'type': 'BuildingLoss', 'name': loss},
        }
        config = {
            'type': 'EncoderDecoder',
            'backbone': {'type': 'TinyBackbone', 'arch': 'tiny', 'out_indices': (0, 1, 2)},
            'decode_head': head,
            'data_preprocessor': {
                'type': 'SegDataPreProcessor', 'mean': [100.0] * 3, 'std': [50.0] * 3, 'size': (SIDE_PX, SIDE_PX)
            },
            'test_cfg': {'mode': 'whole'},
            **options,
        }  # fmt: skip
        return ConfigDict(config)

    return make


@pytest.fixture
def build():
    """A network from its config, with initial weights of a seed."""

    def make(config, seed=0):
        torch.manual_seed(seed)
        model = MODELS.build(deepcopy(config))
        model.init_weights()
        return model.train()

    return make


@pytest.fixture
def batch():
    """Two normalised images, and samples whose last column is ignored."""
    generator = torch.Generator().manual_seed(1)
    labels = torch.zeros(2, SIDE_PX, SIDE_PX, dtype=torch.long)
    labels[:, 10:30, 20:50] = 1
    labels[:, :, -1] = 255
    images = torch.randn(2, 3, SIDE_PX, SIDE_PX, generator=generator)
    return SimpleNamespace(images=images, labels=labels, samples=[make_sample(part) for part in labels])


@pytest.fixture
def train():
    """Train a config for some iterations; returns the runner."""

    def run(work_dir, model, iters=4, optimizer=None, scores=None, val_interval=2, dataset=None, stop_at=None, **kw):
        resume = kw.pop('resume', None)
        validation = {}
        if scores is not None:
            validation = {
                'val_dataloader': {
                    'batch_size': 1,
                    'dataset': {'type': 'Squares', 'length': 1, 'test_mode': True},
                    'sampler': {'type': 'DefaultSampler', 'shuffle': False},
                },
                'val_cfg': {'type': 'ValLoop'},
                'val_evaluator': {'type': 'ScriptedScore', 'scores': {str(k): v for k, v in scores.items()}},
            }
        runner = Runner(
            model=deepcopy(model),
            work_dir=str(work_dir),
            train_dataloader={
                'batch_size': 2,
                'dataset': dataset or {'type': 'Squares'},
                'sampler': {'type': 'DefaultSampler', 'shuffle': True},
                'batch_sampler': {'type': 'ResumableBatchSampler'},
            },
            train_cfg={'type': 'ResumableIterTrainLoop', 'max_iters': iters, 'val_interval': val_interval},
            optim_wrapper={'optimizer': optimizer or {'type': 'Adam', 'lr': 1e-2, 'weight_decay': 0.1}},
            default_hooks={
                'checkpoint': {'type': 'CheckpointHook', 'by_epoch': False, 'interval': 2},
                'logger': None,
                **kw.pop('default_hooks', {}),
            },
            resume=resume is not None,
            load_from=kw.pop('load_from', None) if resume is None else str(resume),
            randomness={'seed': 3},
            default_scope='mmseg',
            log_level='ERROR',
            custom_hooks=[TellIteration(), *kw.pop('custom_hooks', [])],
            experiment_name=f'{work_dir}{torch.rand(()).item()}',
            **validation,
            **kw,
        )
        runner.train()
        return runner

    return run
