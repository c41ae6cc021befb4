"""From a checked Config to a run: train or test.

`tools/train.py` and `tools/test.py` parse and call; everything here also works from a notebook.
"""

import os
import shutil
import tempfile
from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.registry import METRICS

from projects.command_line import UsageError
from projects.reporting.number_format import file_size

from .annotations import require_data
from .checkpoints import latest_checkpoint, switch_off_pretrained
from .run_values import TESTING, TRAINING, check_values, require_parts
from .runner import Runner
from .score_line import describe_scores


def set_up(cfg: Config, work_dir: str | Path | None, launcher: str = 'none', amp: str | None = None) -> None:
    """Fill in what the command line says about where and how to run.

    Args:
        cfg: Changed in place.
        work_dir: Folder for logs and checkpoints; None takes the config's, else `work_dirs/CONFIG`.
        launcher: 'none', 'pytorch' or 'slurm'.
        amp: None, 'bf16' (any device) or 'fp16' (GPU).

    Raises:
        UsageError: fp16 or Slurm without a GPU, or several processes without torchrun.
        OSError: The work dir cannot be written to.
    """
    name = Path(cfg.filename).stem
    cfg.work_dir = str(Path(work_dir or cfg.get('work_dir') or Path('work_dirs') / name).absolute())
    cfg.launcher = launcher
    check_writable(cfg.work_dir)
    if launcher == 'pytorch' and 'RANK' not in os.environ:
        raise UsageError(
            '--launcher pytorch needs torchrun before it: torchrun --nproc-per-node NUMBER tools/train.py …'
        )
    if launcher == 'pytorch' and not torch.cuda.is_available():  # mmengine would ask for a GPU
        if not torch.distributed.is_initialized():
            torch.distributed.init_process_group('gloo')
        cfg.setdefault('model_wrapper_cfg', {'type': 'MMDistributedDataParallel', 'broadcast_buffers': False})
        cfg.model_wrapper_cfg.device_ids = None
        cfg.sync_bn = None  # torch synchronises batch norms on GPUs only
    elif launcher == 'slurm' and not torch.cuda.is_available():
        raise UsageError('--launcher slurm needs GPUs; on processors use torchrun and --launcher pytorch')
    if amp is not None:
        require_parts(cfg, 'optim_wrapper')
    if amp == 'bf16':
        cfg.optim_wrapper.type = 'BFloat16OptimWrapper'
    elif amp == 'fp16':
        if not torch.cuda.is_available():
            raise UsageError('--amp fp16 needs a GPU; --amp bf16 works on CPUs too')
        cfg.optim_wrapper.update(type='AmpOptimWrapper', loss_scale='dynamic', dtype='float16')


def shut_down() -> None:
    """Leave the other processes of a distributed run in order; a process that merely exits may crash (gloo)."""
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


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
        UsageError: The config lacks a part that training needs, or a value with which nothing sensible is trained.
        FileNotFoundError: `resume` names no file.
        OSError: The disk has no room for the checkpoints.
        KeyboardInterrupt: Stopped by the user; a checkpoint was saved.
    """
    require_parts(cfg, *TRAINING)
    check_values(cfg)
    if resume is not None:
        checkpoint = latest_checkpoint(cfg.work_dir) if resume == 'auto' else Path(resume)
        if checkpoint is not None:
            if not checkpoint.is_file():
                raise FileNotFoundError(f'--resume {resume}: no such checkpoint')
            cfg.resume, cfg.load_from = True, str(checkpoint)
    if cfg.get('load_from'):
        switch_off_pretrained(cfg.model)
    _check_data(cfg, 'train', 'val')
    runner = Runner.from_cfg(cfg)
    if resume is not None and not cfg.resume:
        runner.logger.warning(f'--resume: no checkpoint in {cfg.work_dir}; training from the beginning')
    _check_room(runner, cfg)
    if validate_first and not cfg.resume:
        before = runner.val()
        runner._has_loaded = False  # training initialises the weights anew, and must load those of `load_from` again
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


def test(cfg: Config, checkpoint: str | Path, augment: bool) -> dict[str, float]:
    """Score a checkpoint on the test set of its config.

    Args:
        cfg: From `load_config` and `set_up`.
        checkpoint: Weights of the whole model.
        augment: Average the predictions over the scales and flips of the config's `tta_pipeline`.

    Returns:
        The scores.

    Raises:
        UsageError: The config lacks a part that testing needs.
        FileNotFoundError: No such checkpoint.
        ValueError: It does not fit the model, or the config has no test-time augmentation.
    """
    require_parts(cfg, *TESTING)
    if not Path(checkpoint).is_file():
        raise FileNotFoundError(f'No checkpoint {checkpoint}')
    cfg.load_from = str(checkpoint)
    switch_off_pretrained(cfg.model)
    if augment:
        _augment_tests(cfg)
    return score(cfg)


def score(cfg: Config) -> dict[str, float]:
    """Score the model of a config as it is, with the weights of `load_from` if there are any.

    Args:
        cfg: From `load_config` and `set_up`.

    Returns:
        The scores on the test set.

    Raises:
        FileNotFoundError: There is no data.
        ValueError: `load_from` does not fit the model.
    """
    _check_data(cfg, 'test')
    cfg.resume = False  # as the kept config of a run that was continued says
    cfg.train_dataloader = cfg.train_cfg = cfg.optim_wrapper = cfg.param_scheduler = None
    cfg.val_dataloader = cfg.val_cfg = cfg.val_evaluator = None
    return Runner.from_cfg(cfg).test()


def write_results(cfg: Config, out: str) -> None:
    """Let the evaluators of the test write what they find.

    Args:
        cfg: Changed in place.
        out: Where to: those of mmseg write label maps into this folder, others what their `output_options` say.
    """
    for evaluator in cfg.test_evaluator if isinstance(cfg.test_evaluator, list) else [cfg.test_evaluator]:
        if (options_of := getattr(METRICS.get(evaluator.type), 'output_options', None)) is not None:
            evaluator.update(options_of(out))
        else:
            Path(out).mkdir(parents=True, exist_ok=True)  # mmseg's first process makes it, too late for the others
            evaluator.output_dir = out


def _augment_tests(cfg: Config) -> None:
    if not cfg.get('tta_model'):
        raise UsageError(f'{cfg.filename} has no tta_model and no tta_pipeline, so --tta has nothing to do')
    if 'mask_head' in cfg.model.get('roi_head', {}):
        raise UsageError(f'--tta: mmdet merges boxes over scales and flips but no masks, which {cfg.filename} predicts')
    if cfg.tta_model.type == 'SegTTAModel' and cfg.model.get('decode_head', {}).get('out_channels') == 1:
        raise UsageError(
            f'--tta: {cfg.filename} has one logit, of whose probability SegTTAModel takes the sigmoid once more, so '
            "that all is foreground; expected tta_model=dict(type='BuildingTTAModel')"
        )
    cfg.test_dataloader.dataset.pipeline = cfg.tta_pipeline
    cfg.model = {**cfg.tta_model, 'module': cfg.model}


def _check_data(cfg: Config, *splits: str) -> None:
    """Look for the data before weights are downloaded and networks built."""
    for split in splits:
        if cfg.get(f'{split}_dataloader') is None:
            continue
        dataset, source = cfg[f'{split}_dataloader'].dataset, cfg[f'{split}_dataloader'].dataset.get('source', '')
        if dataset.get('ann_file'):
            ann_file = Path(dataset.data_root, dataset.ann_file)
            require_data(ann_file, 'annotation file', source)
            _check_evaluators(cfg, split, ann_file)
        else:
            require_data(Path(dataset.data_root, dataset.data_prefix.img_path), 'folder of images', source)


def _check_evaluators(cfg: Config, split: str, ann_file: Path) -> None:
    """Refuse detections of one annotation file that are scored by another."""
    evaluators = cfg.get(f'{split}_evaluator') or []
    named = enumerate(evaluators) if isinstance(evaluators, list) else [(None, evaluators)]
    for number, evaluator in named:
        other = evaluator.get('ann_file')
        if other and Path(other).resolve() != ann_file.resolve():
            key = f'{split}_evaluator' if number is None else f'{split}_evaluator.{number}'
            raise UsageError(
                f'{split}_dataloader has the images of {ann_file}, {split}_evaluator the objects of {other}. Set both: '
                f'--cfg-options {key}.ann_file={ann_file}'
            )


def _check_room(runner: Runner, cfg: Config) -> None:
    """Refuse to start when the disk cannot hold two checkpoints (weights and two AdamW moments, float32)."""
    needed = 2 * 3 * sum(parameter.numel() * 4 for parameter in runner.model.parameters())
    free = shutil.disk_usage(cfg.work_dir).free
    if free < needed:
        raise OSError(
            f'{cfg.work_dir} has {file_size(free, 0)} free; two checkpoints of this model need {file_size(needed, 0)}. '
            'Make room or choose another --work-dir'
        )
