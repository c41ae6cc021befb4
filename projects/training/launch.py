"""From a command line to a run: one checked Config, then train or test.

`tools/train.py` and `tools/test.py` parse and call; everything here also works from a notebook.
"""

import difflib
import inspect
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config, ConfigDict

from .annotations import require_file
from .coco_scores import describe_scores
from .runner import Runner, latest_checkpoint

ROOT = Path(__file__).resolve().parents[2]
RUNNER_KEYS = {
    *inspect.signature(Runner.__init__).parameters,
    *(
        'auto_scale_lr',
        'custom_imports',
        'data_root',
        'model_wrapper_cfg',
        'find_unused_parameters',
        'sync_bn',
        'compile',
    ),
}


def load_config(
    path: str | Path, options: dict[str, Any] | None = None, prepare: Callable[[Config], None] | None = None
) -> Config:
    """Read a config file and merge `--cfg-options` into it.

    Relative paths are looked for in the current folder first and in the project's folder then, so that every command
    works from any folder. `data_root` in `options` moves the data sets and their evaluators together.

    Args:
        path: A config file.
        options: Dotted keys and values, as mmengine's DictAction gives them.
        prepare: Changes the config in place before the options are merged, e.g. to use sample data.

    Returns:
        The merged config, paths made absolute.

    Raises:
        FileNotFoundError: No such config; similar ones are named.
        ValueError: A key is unknown and looks like a misspelling.
    """
    file = locate(path)
    if not file.is_file():
        names = [str(config.relative_to(ROOT)) for config in sorted((ROOT / 'configs').glob('*.py'))]
        similar = difflib.get_close_matches(str(path), names, n=3, cutoff=0.3)
        raise FileNotFoundError(f'No config {path} in {Path.cwd()} or {ROOT}. Did you mean one of {similar}?')
    cfg = Config.fromfile(file)
    _check_keys(cfg.keys(), RUNNER_KEYS, f'{file.name}: ')
    if prepare is not None:
        prepare(cfg)
    data_root = cfg.get('data_root')
    if options:
        _check_options(cfg, options)
        cfg.merge_from_dict(options)
    for part in _data_parts(cfg):
        for key in ('data_root', 'ann_file'):
            value = part.get(key)
            if not isinstance(value, str) or (key == 'ann_file' and 'data_root' in part):
                continue
            if data_root and value.startswith(data_root):
                value = Path(cfg.data_root) / value.removeprefix(data_root).lstrip('/')
            part[key] = str(locate(value))
    return cfg


def locate(path: str | Path) -> Path:
    """An absolute path: as it is, else in the current folder if it exists there, else in the project's folder."""
    path = Path(path).expanduser()
    return path if path.is_absolute() or path.exists() else ROOT / path


def _data_parts(cfg: Config) -> Iterator[ConfigDict]:
    """The dicts of a config that name data on disk."""
    for split in ('train', 'val', 'test'):
        evaluators = cfg.get(f'{split}_evaluator')
        parts = evaluators if isinstance(evaluators, list) else [evaluators]
        for part in [(cfg.get(f'{split}_dataloader') or {}).get('dataset'), *parts]:
            if isinstance(part, dict):
                yield part


def _check_keys(given: Any, known: Any, where: str) -> None:
    for key in given:
        similar = difflib.get_close_matches(key, known, n=1, cutoff=0.8)
        if key not in known and similar:
            raise ValueError(f'{where}unknown key {key!r}; did you mean {similar[0]!r}?')


def _check_options(cfg: Config, options: dict[str, Any]) -> None:
    """Refuse options without effect: misspelt keys, and variables of the config file, which it has used already."""
    content = cfg.to_dict()
    for option in options:
        first = option.split('.')[0]
        if first in cfg and first not in RUNNER_KEYS:
            raise ValueError(
                f'--cfg-options {option}: {first!r} is a variable of the config file, which has been used by now. Set '
                'what was made of it, e.g. train_dataloader.dataset.pipeline.2.scale'
            )
        node: Any = content
        for depth, key in enumerate(option.split('.')):
            if isinstance(node, list | tuple) and re.fullmatch(r'\d+', key) and int(key) < len(node):
                node = node[int(key)]
            elif isinstance(node, dict) and key in node:
                node = node[key]
            elif isinstance(node, dict) and (depth > 0 or key in RUNNER_KEYS):  # a new key, unless misspelt
                _check_keys(
                    [key], node.keys() - RUNNER_KEYS if depth == 0 else node.keys(), f'--cfg-options {option}: '
                )
                break
            else:
                known = list(node) if isinstance(node, dict) else [str(index) for index in range(len(node))]
                similar = difflib.get_close_matches(key, known, n=3)
                raise ValueError(f'--cfg-options {option}: the config has no {key!r}; did you mean one of {similar}?')


def set_up(cfg: Config, work_dir: str | Path | None, launcher: str = 'none', amp: str | None = None) -> None:
    """Fill in what the command line says about where and how to run.

    Args:
        cfg: Changed in place.
        work_dir: Folder for logs and checkpoints; None takes the config's, else `work_dirs/CONFIG`.
        launcher: 'none', 'pytorch' or 'slurm'.
        amp: None, 'bf16' (any device) or 'fp16' (GPU).

    Raises:
        ValueError: fp16 without a GPU.
        OSError: The work dir cannot be written to.
    """
    name = Path(cfg.filename).stem
    cfg.work_dir = str(Path(work_dir or cfg.get('work_dir') or Path('work_dirs') / name).absolute())
    cfg.launcher = launcher
    check_writable(cfg.work_dir)
    if launcher == 'pytorch' and not torch.cuda.is_available():  # mmengine would ask for a GPU
        if not torch.distributed.is_initialized():
            torch.distributed.init_process_group('gloo')
        cfg.setdefault('model_wrapper_cfg', {'type': 'MMDistributedDataParallel', 'broadcast_buffers': False})
        cfg.model_wrapper_cfg.device_ids = None
    elif launcher == 'slurm' and not torch.cuda.is_available():
        raise ValueError('--launcher slurm needs GPUs; on processors use torchrun and --launcher pytorch')
    if amp == 'bf16':
        cfg.optim_wrapper.type = 'BFloat16OptimWrapper'
    elif amp == 'fp16':
        if not torch.cuda.is_available():
            raise ValueError('--amp fp16 needs a GPU; --amp bf16 works on CPUs too')
        cfg.optim_wrapper.update(type='AmpOptimWrapper', loss_scale='dynamic', dtype='float16')


def check_writable(folder: str | Path) -> None:
    """Create a folder and write a file in it, to fail now rather than after an epoch.

    Raises:
        OSError: The folder cannot be created or written to; the message says what to do.
    """
    try:
        Path(folder).mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=folder) as file:
            file.write(b'\0' * 4096)
            file.flush()
    except OSError as error:
        raise OSError(
            error.errno, f'Cannot write to the work dir {folder}: {error.strerror}. Choose another: --work-dir FOLDER'
        ) from error


def train(cfg: Config, resume: str | None = None, validate_first: bool = False) -> dict[str, float]:
    """Train a config to its end.

    Args:
        cfg: From `load_config` and `set_up`.
        resume: None starts anew; 'auto' continues from the newest checkpoint in the work dir, if there is one; else a
            checkpoint.
        validate_first: Score the untrained model too, to see what training changed.

    Returns:
        The scores of the last validation.

    Raises:
        FileNotFoundError: `resume` names no file.
        OSError: The disk has no room for the checkpoints.
        KeyboardInterrupt: Stopped by the user; a checkpoint was saved.
    """
    if resume is not None:
        checkpoint = latest_checkpoint(cfg.work_dir) if resume == 'auto' else Path(resume)
        if checkpoint is not None:
            if not checkpoint.is_file():
                raise FileNotFoundError(f'--resume {resume}: no such checkpoint')
            cfg.resume, cfg.load_from = True, str(checkpoint)
    if cfg.get('load_from'):
        _switch_off_pretrained(cfg)
    _check_data(cfg, 'train', 'val')
    runner = Runner.from_cfg(cfg)
    if resume is not None and not cfg.resume:
        runner.logger.warning(f'--resume: no checkpoint in {cfg.work_dir}; training from the beginning')
    _check_room(runner, cfg)
    if validate_first and not cfg.resume:
        before = runner.val()
        runner.set_randomness(**cfg.randomness)  # the initial weights must not follow from what was validated
        runner.logger.info(f'before training: {describe_scores(before)}')
    runner.train()
    last = {name: values.data[0][-1] for name, values in runner.message_hub.log_scalars.items() if 'val/' in name}
    scores = {name.removeprefix('val/'): float(value) for name, value in last.items()}
    if validate_first and not cfg.resume:
        runner.logger.info(f'before training: {describe_scores(before)}')
    if scores:
        runner.logger.info(f'after training:  {describe_scores(scores)}')
    runner.logger.info(f'checkpoints, curves.png and predictions/ are in {cfg.work_dir}')
    return scores


def test(cfg: Config, checkpoint: str | Path) -> dict[str, float]:
    """Score a checkpoint on the test set of its config.

    Args:
        cfg: From `load_config` and `set_up`.
        checkpoint: Weights of the whole model.

    Returns:
        The scores.

    Raises:
        FileNotFoundError: No such checkpoint.
        ValueError: It does not fit the model.
    """
    if not Path(checkpoint).is_file():
        raise FileNotFoundError(f'No checkpoint {checkpoint}')
    _check_data(cfg, 'test')
    cfg.load_from = str(checkpoint)
    _switch_off_pretrained(cfg)
    cfg.train_dataloader = cfg.train_cfg = cfg.optim_wrapper = cfg.param_scheduler = None
    cfg.val_dataloader = cfg.val_cfg = cfg.val_evaluator = None
    return Runner.from_cfg(cfg).test()


def _switch_off_pretrained(cfg: Config) -> None:
    """Download no weights that a checkpoint is about to replace."""
    if 'pretrained' in cfg.model.backbone:
        cfg.model.backbone.pretrained = False


def _check_data(cfg: Config, *splits: str) -> None:
    """Look for the data before weights are downloaded and networks built."""
    for split in splits:
        if cfg.get(f'{split}_dataloader') is None:
            continue
        dataset = cfg[f'{split}_dataloader'].dataset
        require_file(Path(dataset.data_root, dataset.ann_file), dataset.get('source', ''))


def _check_room(runner: Runner, cfg: Config) -> None:
    """Refuse to start when the disk cannot hold two checkpoints (weights and two AdamW moments, float32)."""
    needed = 2 * 3 * sum(parameter.numel() * 4 for parameter in runner.model.parameters())
    free = shutil.disk_usage(cfg.work_dir).free
    if free < needed:
        raise OSError(
            f'{cfg.work_dir} has {free / 2**20:.0f} MiB free; two checkpoints of this model need {needed / 2**20:.0f} '
            'MiB. Make room or choose another --work-dir'
        )
