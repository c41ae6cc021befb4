"""What a run needs beyond mmengine: exact resuming, safe files, data that may be bad, scores and pictures for people.

mmengine's Runner, hooks, samplers and metrics are used as they are; each module here subclasses one of their seams:

- `launch`        configuration and command line -> a checked Config -> train or test
- `runner`        Runner that refuses a checkpoint which does not fit, and a storage backend that writes atomically
- `train_loop`    epoch loop that resumes at any iteration, on any number of processes, with the same numbers
- `heads`         detection heads whose losses are averaged over the whole distributed batch
- `datasets`      COCO data sets that check their annotations and survive unreadable images
- `coco_scores`   COCO evaluation in C++
- `hooks`         pictures of predictions beside ground truth, curves
- `optim_wrapper` mixed precision in bfloat16 on any device
"""

from . import coco_scores, datasets, heads, hooks, optim_wrapper, runner, train_loop

__all__ = ['coco_scores', 'datasets', 'heads', 'hooks', 'optim_wrapper', 'runner', 'train_loop']
