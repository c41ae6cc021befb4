"""Pictures for people: predictions beside ground truth, and curves of the losses and scores; scores by iteration."""

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.ticker import MaxNLocator
from mmengine.dist import master_only
from mmengine.hooks import Hook
from mmengine.logging import MessageHub
from mmengine.registry import HOOKS
from mmengine.runner import Runner

from projects.reporting.figures import new_figure, running_mean, style_axes, write_figure
from projects.storage.file_names import picture_names

from .datasets import image_loader

NOT_GIVEN = 'the validation gives no'  # how the message of a score that is absent begins


@HOOKS.register_module()
class PredictionPictures(Hook):
    """Writes pictures of ground truth (left) beside predictions (right).

    In training, `num_pictures` images spread over the validation set go to `WORK_DIR/predictions/epoch_N/` (or
    `iter_N/`); in testing, every image goes to `folder` if that is given. A picture has the name of its image; where
    images in several folders have one name, the folders too. Images are loaded as for the network: EXIF turns both or
    none.

    Args:
        num_pictures: Pictures per validation; 0 draws none.
        folder: Where test pictures go; None draws none.
        drawing: Options of the visualizer's `add_datasample`.
    """

    def __init__(self, num_pictures: int = 8, folder: str | None = None, drawing: dict[str, Any] | None = None) -> None:
        self.num_pictures = num_pictures
        self.folder = folder
        self.drawing = drawing or {}
        self._names: dict[str, str] = {}

    @master_only
    def after_val_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        if not self.num_pictures:
            return
        interval = max(len(runner.val_dataloader.dataset) // self.num_pictures, 1)
        if batch_idx % interval == 0 and batch_idx // interval < self.num_pictures:
            position = f'epoch_{runner.epoch}' if runner.log_processor.by_epoch else f'iter_{runner.iter}'
            self._draw(
                runner, outputs[:1], Path(runner.work_dir) / 'predictions' / position, runner.val_dataloader.dataset
            )

    def after_test_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        if self.folder is not None:
            self._draw(runner, outputs, Path(self.folder), runner.test_dataloader.dataset)

    def _draw(self, runner: Runner, samples: Sequence[Any], folder: Path, dataset: Any) -> None:
        loader = image_loader(dataset)
        for sample in samples:
            if sample.get('unreadable', False):
                continue
            if sample.img_path not in self._names:
                self._names = picture_names([dataset.get_data_info(i)['img_path'] for i in range(len(dataset))])
            image = np.ascontiguousarray(loader.transform({'img_path': sample.img_path})['img'][..., ::-1])
            path = folder / f'{self._names[sample.img_path]}.png'
            path.parent.mkdir(parents=True, exist_ok=True)
            with warnings.catch_warnings():
                warnings.filterwarnings('ignore', message='Warning: The .* is out of bounds')
                runner.visualizer.add_datasample(
                    path.stem,
                    image,
                    data_sample=sample,
                    out_file=str(path),
                    **self.drawing,
                )


@HOOKS.register_module()
class Curves(Hook):
    """Draws `WORK_DIR/curves.png` after each validation and at the end: losses, learning rate, scores.

    The values come from mmengine's MessageHub, which is part of every checkpoint: a resumed run shows all of them.
    """

    priority = 'LOWEST'  # after the scores have been recorded

    def after_val_epoch(self, runner: Runner, metrics: dict[str, float] | None = None) -> None:
        self._draw(runner)

    def after_train(self, runner: Runner) -> None:
        self._draw(runner)

    @master_only
    def _draw(self, runner: Runner) -> None:
        scalars = {name: buffer.data[0] for name, buffer in runner.message_hub.log_scalars.items()}
        panels = {
            'loss (mean of 1 % of the run)': {
                n: v for n, v in scalars.items() if n.startswith('train/') and 'loss' in n
            },
            'learning rate': {n: v for n, v in scalars.items() if n == 'train/lr'},
            'score': {
                n: v
                for n, v in scalars.items()
                if n.startswith('val/') and 'time' not in n and not n.endswith(('_75', '_s', '_m', '_l'))
            },
        }
        if not panels['learning rate']:
            return  # nothing has been trained yet
        figure = new_figure(15, 4)
        for index, (title, curves) in enumerate(panels.items()):
            axes = figure.add_subplot(1, 3, index + 1, title=title)
            for name, values in sorted(curves.items()):
                steps = np.arange(1, len(values) + 1)
                if title == 'score':
                    values = np.where(np.asarray(values) < 0, np.nan, values)
                elif title.startswith('loss'):
                    values = running_mean(values, len(values) // 100)
                axes.plot(
                    steps[-len(values) :], values, marker='o' if len(values) < 30 else None, label=name.split('/')[-1]
                )
            axes.set_xlabel('validation' if title == 'score' else 'iteration')
            axes.xaxis.set_major_locator(MaxNLocator(integer=True))
            style_axes(axes)
            if curves:
                axes.legend(fontsize=7)
        write_figure(figure, Path(runner.work_dir) / 'curves.png')


@HOOKS.register_module()
class RecordScores(Hook):
    """Keeps scores of every validation and its iteration in the MessageHub, and so in the checkpoints.

    Args:
        keys: Key of each score by the name that `recorded_scores` knows it by.
    """

    def __init__(self, keys: Mapping[str, str]) -> None:
        self.keys = dict(keys)

    def after_val_epoch(self, runner: Runner, metrics: dict[str, float] | None = None) -> None:
        scores = metrics or {}
        for name, key in self.keys.items():
            if key not in scores:
                raise ValueError(f'{NOT_GIVEN} {key!r} to record, but {sorted(scores)}')
            earlier = recorded_scores(runner.message_hub, name)
            runner.message_hub.update_info(_info(name), earlier | {runner.iter: float(scores[key])})


def recorded_scores(hub: MessageHub, name: str) -> dict[int, float]:
    """A score by the iteration of the validation, of all attempts of a run; empty if none was recorded."""
    return hub.runtime_info.get(_info(name), {})


def _info(name: str) -> str:
    return f'{name}_by_iteration'
