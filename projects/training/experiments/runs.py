"""One training of a study or grid, described in a file, executed in a process of its own.

    python -m projects.training.experiments.runs RUN_DIR

reads `RUN_DIR/run.json`, trains, scores the test set and writes `RUN_DIR/result.json`; it continues where an earlier
attempt stopped.
"""

import json
import math
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from pkgutil import resolve_name
from typing import Any, Self

from filelock import FileLock
from mmengine.config import Config
from mmengine.fileio import put_text
from mmengine.logging import MessageHub

from projects.command_line import told_in_one_line

from ..checkpoints import best_checkpoint, latest_checkpoint, read_weights
from ..config import load_config
from ..hooks import recorded_scores
from ..launch import set_up, test, train, write_results

SPEC, RESULT, ERROR = 'run.json', 'result.json', 'error.txt'
LOSS_POINTS = 200
LOCK_TIMEOUT_S = 120  # for what an earlier, killed scheduler left to save a checkpoint and end


@dataclass(frozen=True)
class Run:
    """A training, and what is to be kept of it.

    Attributes:
        name: Unique among the runs of a folder; the name of its own.
        config: Config file.
        options: Dotted keys of the config and their values; those whose value is a dict replace a dict whole.
        about: What the run is, for tables: method, domain, seed, or encoder, decoder, loss, optimiser.
        needs: Run that this one starts from or is taught by; None if there is none.
        from_needed: Options that take its last 'checkpoint' or its 'config'.
        adapt: Function that changes the config in place once it has its options, as 'module:name'; None for none.
        curves: Key of a validation's score by the name of the curve that is kept of it.
        scores: Of what the evaluator of the test writes, the keys that stand in the result.
        kept: Hooks of the test by the folder, below the run's, that each is told as its `folder`.
        best: Key of the validation's score by which, the higher the better, one checkpoint is scored and taken by the
            runs that need this one; None takes the last.
        tested: False leaves the test set alone, as a search for hyper-parameters must.
    """

    name: str
    config: str
    options: dict[str, Any]
    about: dict[str, Any]
    needs: str | None = None
    from_needed: dict[str, str] = field(default_factory=dict)
    adapt: str | None = None
    curves: dict[str, str] = field(default_factory=dict)
    scores: list[str] = field(default_factory=list)
    kept: dict[str, dict[str, Any]] = field(default_factory=dict)
    best: str | None = None
    tested: bool = True

    def to_json(self) -> dict[str, Any]:
        """As it stands in `run.json`."""
        return json.loads(json.dumps(asdict(self)))

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Self:
        """From `run.json`, of this or an earlier version."""
        return cls(**{each.name: content[each.name] for each in fields(cls) if each.name in content})


def load_run(folder: Path) -> tuple[Run, Config]:
    """A run that is described in its folder, and its config, set up."""
    run = _read(folder)
    options = dict(run.options)
    if run.needs:
        needed = folder.parent / run.needs
        checkpoint = chosen_checkpoint(needed)
        config = needed / Path(_read(needed).config).name  # as the Runner kept it
        files = {'checkpoint': str(checkpoint), 'config': str(config)}
        options |= {option: files[kind] for option, kind in run.from_needed.items()}
    cfg = load_config(run.config, options)
    if run.adapt:
        resolve_name(run.adapt)(cfg)
    # whoever plans many runs draws the curves of all of them
    cfg.custom_hooks = [hook for hook in cfg.get('custom_hooks') or [] if hook['type'] != 'Curves']
    set_up(cfg, folder)
    return run, cfg


def _read(folder: Path) -> Run:
    return Run.from_json(json.loads((folder / SPEC).read_text()))


def chosen_checkpoint(folder: Path) -> Path:
    """The checkpoint of a run that counts: the best one in validation if the run chooses so, else the last.

    Raises:
        FileNotFoundError: There is none.
    """
    chosen = best_checkpoint(folder) if _read(folder).best else None
    chosen = chosen or latest_checkpoint(folder)  # where no validation had a score, none was the best
    if chosen is None:
        raise FileNotFoundError(f'{folder} has no checkpoint; run it again')
    return chosen


def execute(folder: Path) -> dict[str, Any]:
    """Train and score a run.

    Args:
        folder: Holds `run.json`; receives checkpoints, logs and `result.json`.

    Returns:
        The content of `result.json`: `run` (its name and what it is about), the chosen scores, `parameters_m`, the
        folders of what was kept (both only if the test was scored), a `NAME_curve` for each curve, `loss_curve` and
        `train_minutes`.
    """
    run, cfg = load_run(folder)
    cfg.custom_hooks.append({'type': 'RecordScores', 'keys': run.curves})
    if run.best:
        cfg.default_hooks.checkpoint.update(save_best=run.best, rule='greater')
    minutes = _train(cfg, folder)
    hub = MessageHub.get_current_instance()
    loss = hub.log_scalars['train/loss'].data[0]
    step = max(len(loss) // LOSS_POINTS, 1)
    result = {
        'run': {'name': run.name, **run.about},
        **(_score(folder) if run.tested else {}),
        **{
            f'{name}_curve': [
                {'iteration': iteration, name: None if math.isnan(score) else score}
                for iteration, score in recorded_scores(hub, name).items()
            ]
            for name in run.curves
        },
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


def _score(folder: Path) -> dict[str, Any]:
    """Score the checkpoint that counts on the test set, as an ordinary model."""
    checkpoint = chosen_checkpoint(folder)
    run, cfg = load_run(folder)
    if run.scores:
        write_results(cfg, str(folder / 'test_scores'))
    cfg.custom_hooks += [{**hook, 'folder': str(folder / name)} for name, hook in run.kept.items()]
    cfg.work_dir = str(folder / 'test')  # beside the config that trained
    test(cfg, checkpoint, augment=False)
    statistics = ('running_mean', 'running_var', 'num_batches_tracked')
    parameters = sum(value.numel() for name, value in read_weights(checkpoint).items() if not name.endswith(statistics))
    scored = json.loads((folder / 'test_scores.json').read_text()) if run.scores else {}
    return {
        **{key: scored[key] for key in run.scores},
        'parameters_m': parameters / 1e6,
        **{name: name for name in run.kept},
    }


def run_in(folder: Path) -> None:
    """Execute the run in a folder, once whatever an earlier, killed scheduler left in it has ended."""
    with told_in_one_line(folder.name), FileLock(folder / '.lock', timeout=LOCK_TIMEOUT_S):
        execute(folder)


def main() -> None:
    """Execute the run in the folder that is the only argument."""
    if len(sys.argv) != 2:
        sys.exit('usage: python -m projects.training.experiments.runs RUN_DIR')
    run_in(Path(sys.argv[1]).absolute())


if __name__ == '__main__':
    main()
