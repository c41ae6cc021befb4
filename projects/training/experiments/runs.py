"""One training of a study or grid, described in a file, executed in a process of its own.

    python -m projects.training.experiments.runs RUN_DIR

reads `RUN_DIR/run.json`, trains, scores the test set and writes `RUN_DIR/result.json`; it continues where an earlier
attempt stopped.
"""

import json
import math
import os
import signal
import stat
import sys
import threading
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from filelock import FileLock
from mmengine.config import Config
from mmengine.fileio import put_text
from mmengine.logging import MessageHub
from mmengine.registry import MODELS, init_default_scope
from mmengine.runner import CheckpointLoader

from projects.command_line import told_in_one_line
from projects.training.config import load_config
from projects.training.launch import set_up, test, train
from projects.training.runner import latest_checkpoint

from . import hooks

SPEC, RESULT, ERROR = 'run.json', 'result.json', 'error.txt'
LOSS_POINTS = 200
LOCK_TIMEOUT_S = 120  # for what an earlier, killed study left to save a checkpoint and end


@dataclass(frozen=True)
class Run:
    """A training.

    Attributes:
        name: Unique in its study; the name of its folder.
        config: Config file.
        options: Dotted keys of the config and their values; those whose value is a dict replace a dict whole.
        about: What the run is, for tables: method, domain, seed, or encoder, decoder, loss, optimiser.
        needs: Run that this one starts from or is taught by; None if there is none.
        from_needed: Options that take its last 'checkpoint' or its 'config'.
        match_head: Give the decode head the channels and strides of the backbone.
        panel_tiles: Test tiles whose predictions are kept.
    """

    name: str
    config: str
    options: dict[str, Any]
    about: dict[str, Any]
    needs: str | None = None
    from_needed: dict[str, str] = field(default_factory=dict)
    match_head: bool = False
    panel_tiles: tuple[str, ...] = field(default=())

    def spec(self) -> dict[str, Any]:
        """As it stands in `run.json`."""
        return json.loads(json.dumps(asdict(self)))


def match_head_to_backbone(cfg: Config) -> None:
    """Let a decode head take all levels of the backbone at strides 2 to 32, as SMP's models do.

    The head of DeepLabV3+ takes them up to 16, as in SMP. Of several levels of one stride, the last is taken.
    """
    init_default_scope(cfg.default_scope)
    head = cfg.model.decode_head
    backbone = MODELS.build({**cfg.model.backbone, 'pretrained': False})
    coarsest = 16 if head.decoder == 'DeepLabV3Plus' else 32
    last_of_stride = {level.stride: index for index, level in enumerate(backbone.levels) if level.stride <= coarsest}
    head.strides = sorted(last_of_stride)
    cfg.model.backbone.out_indices = [last_of_stride[stride] for stride in head.strides]
    head.in_channels = [backbone.levels[index].channels for index in cfg.model.backbone.out_indices]


def load_run(folder: Path) -> tuple[dict[str, Any], Config]:
    """The description of a run, and its config, set up."""
    spec = json.loads((folder / SPEC).read_text())
    options = dict(spec['options'])
    if spec['needs']:
        needed = folder.parent / spec['needs']
        checkpoint = latest_checkpoint(needed)
        if checkpoint is None:
            raise FileNotFoundError(f'{folder.name} needs {needed}, which has no checkpoint')
        config = needed / Path(json.loads((needed / SPEC).read_text())['config']).name  # as the Runner kept it
        files = {'checkpoint': str(checkpoint), 'config': str(config)}
        options |= {option: files[kind] for option, kind in spec['from_needed'].items()}
    cfg = load_config(spec['config'], options)
    cfg.custom_imports.imports.append(hooks.__name__)
    if spec['match_head']:
        match_head_to_backbone(cfg)
    set_up(cfg, folder)
    return spec, cfg


def execute(folder: Path) -> dict[str, Any]:
    """Train and score a run.

    Args:
        folder: Holds `run.json`; receives checkpoints, logs and `result.json`.

    Returns:
        The content of `result.json`.
    """
    spec, cfg = load_run(folder)
    cfg.custom_hooks = [{'type': 'RecordCurve'}]  # the report draws the curves of all runs
    minutes = _train(cfg, folder)
    hub = MessageHub.get_current_instance()
    loss = hub.log_scalars['train/loss'].data[0]
    step = max(len(loss) // LOSS_POINTS, 1)
    result = {
        'run': {'name': spec['name'], **spec['about']},
        **_score(folder, spec),
        'f1_curve': [
            {'iteration': iteration, 'f1': None if math.isnan(f1) else f1}
            for iteration, f1 in hub.get_info(hooks.CURVE, {}).items()
        ],
        'loss_curve': [[i + 1, float(loss[i])] for i in range(0, len(loss), step)],
        'train_minutes': minutes,
    }
    put_text(json.dumps(result, indent=1), str(folder / RESULT))
    return result


def _train(cfg: Config, folder: Path) -> float:
    """Train to the end; returns the minutes of all attempts."""
    file = folder / 'minutes.txt'
    earlier = float(file.read_text()) if file.is_file() else 0.0
    start = time.monotonic()
    try:
        train(cfg, resume='auto')
    finally:
        put_text(str(earlier + (time.monotonic() - start) / 60), str(file))
    return float(file.read_text())


def _score(folder: Path, spec: dict[str, Any]) -> dict[str, Any]:
    """Score the last checkpoint on the test set, as an ordinary model."""
    checkpoint = latest_checkpoint(folder)
    assert checkpoint is not None
    _, cfg = load_run(folder)
    scores_file, predictions = folder / 'test_scores.json', folder / 'predictions'
    cfg.test_evaluator.out_file = str(scores_file)
    keep = {'type': 'KeepPredictions', 'tiles': spec['panel_tiles'], 'folder': str(predictions)}
    cfg.custom_hooks = [keep]
    cfg.work_dir = str(folder / 'test')  # beside the config that trained
    test(cfg, checkpoint, augment=False)
    weights = CheckpointLoader.load_checkpoint(str(checkpoint), 'cpu')['state_dict']
    statistics = ('running_mean', 'running_var', 'num_batches_tracked')
    parameters = sum(value.numel() for name, value in weights.items() if not name.endswith(statistics))
    scored = json.loads(scores_file.read_text())
    return {key: scored[key] for key in ('scores', 'counts', 'background_pixels', 'miou')} | {
        'parameters_m': parameters / 1e6,
        'predictions': predictions.name if spec['panel_tiles'] else None,
    }


def main() -> None:
    """Execute the run in the folder that is the only argument."""
    if len(sys.argv) != 2:
        sys.exit('usage: python -m projects.training.experiments.runs RUN_DIR')
    folder = Path(sys.argv[1]).absolute()
    signal.signal(signal.SIGINT, signal.default_int_handler)  # which processes in the background inherit as ignored
    threading.Thread(target=end_with_parent, daemon=True).start()
    with told_in_one_line(folder.name), FileLock(folder / '.lock', timeout=LOCK_TIMEOUT_S):
        execute(folder)


def end_with_parent() -> None:
    """Interrupt this process when the pipe that is its input is closed, which the end of its parent does."""
    if stat.S_ISFIFO(os.fstat(0).st_mode):
        while os.read(0, 1):
            pass
        os.kill(os.getpid(), signal.SIGINT)


if __name__ == '__main__':
    main()
