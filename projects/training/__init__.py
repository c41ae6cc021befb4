"""What a run needs beyond mmengine: exact resuming, safe files, data that may be bad, scores and pictures for people.

mmengine's Runner, hooks, samplers and metrics are used as they are; each module here subclasses one of their seams:

- `config`        config file and command line -> a checked Config
- `launch`        Config -> train or test
- `checkpoints`   weights of whole models: found, read, fitted or refused
- `runner`        Runner that refuses a checkpoint which does not fit, and a storage backend that writes atomically
- `train_loop`    epoch and iteration loops that resume at any iteration, on any number of processes, alike
- `samplers`      batches and draws of RoIs that can be repeated
- `levels`        necks and heads that read channels and strides from what feeds them
- `heads`         detection heads whose losses are averaged over the whole distributed batch
- `annotations`   COCO files, checked and mended, for training, evaluation and pictures alike
- `datasets`      COCO data sets of such files and of images of the sizes that they say; survive unreadable images
- `segmentation_datasets`, `segmentation_transforms`  Cityscapes and ADE20K in the same way
- `preprocessors` batches of images in one pass
- `coco_scores`   COCO evaluation in C++
- `hooks`         pictures of predictions beside ground truth, curves, scores by iteration
- `optim_wrapper` mixed precision in bfloat16 on any device
- `experiments`   many runs: described, queued, resumed, refused when what they are made from has changed
"""

import projects.openmmlab_compat  # noqa: F401 (before mmcv)

from . import (
    coco_scores,
    datasets,
    heads,
    hooks,
    instance_masks,
    levels,
    optim_wrapper,
    preprocessors,
    runner,
    samplers,
    segmentation_datasets,
    segmentation_transforms,
    train_loop,
)

__all__ = [
    'coco_scores',
    'datasets',
    'heads',
    'hooks',
    'instance_masks',
    'levels',
    'optim_wrapper',
    'preprocessors',
    'runner',
    'samplers',
    'segmentation_datasets',
    'segmentation_transforms',
    'train_loop',
]
