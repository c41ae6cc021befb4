"""The last step of a search: finalists exported, measured whole and in turns, the best of them written."""

import os
import shlex
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from projects.deployment.export.settings import ExportSettings
from projects.deployment.export.verification import DeviationError
from projects.deployment.export.verified_export import export
from projects.deployment.scoring import scores_of
from projects.storage.atomic_files import replacing, write_file
from projects.training.checkpoints import read_weights
from projects.training.config import load_config
from projects.training.launch import set_up

from .candidates import leaf_config
from .indicators import FORMAT_OF
from .latency.graphs import SUFFIX_OF
from .networks import Network, in_percent
from .search import FIRST_SEED, Search

EXPORTED = 'exported'  # folder of the finalists' files
BEST = 'best'


@dataclass(frozen=True)
class Best:
    """What a search found.

    Attributes:
        network: It.
        file: Exported, verified.
        exported_score: Of that file on the test set, in percent.
        test_score: Of the checkpoint on it.
        command: That reproduces the latter.
    """

    network: Network
    file: Path
    exported_score: float
    test_score: float
    command: str

    def to_json(self) -> dict[str, Any]:
        """As JSON says it."""
        return {
            'network': self.network.candidate.deployed,
            'file': self.file.name,
            'exported_score': self.exported_score,
            'test_score': self.test_score,
            'command': self.command,
        }


def finish(search: Search, finalists: Sequence[Network], hand_made: Sequence[Network]) -> Best:
    """Export finalists, measure their files in turns with the best that people made, and write the best.

    `best.py`, `best.pth` and the exported file `best.xml` or `best.onnx` are written to the work dir.

    Args:
        search: Whose.
        finalists: Trained for the whole length; their latencies become those of the files.
        hand_made: Likewise, or not trained because they do not keep the requirements.

    Raises:
        ValueError: The file of no finalist keeps the requirements.
    """
    search.repeat(finalists)
    trained = [network for network in finalists if network.is_feasible]
    rivals = sorted((one for one in hand_made if one.is_feasible and one.test), key=search.utility)[-1:]
    files = {
        network.candidate.deployed: file for network in [*trained, *rivals] if (file := _exported(search, network))
    }
    compared = [network for network in [*trained, *rivals] if network.candidate.deployed in files]
    if compared:
        latencies = search.indicators.meter.time_files([files[network.candidate.deployed] for network in compared])
        for network, latency in zip(compared, latencies, strict=True):
            network.indicators['latency_ms'] = latency.ms
            network.violated = search.requirements.violated(network.indicators)
    keeping = [network for network in compared if network in trained and network.is_feasible]
    if not keeping:
        reasons = '; '.join(
            f'{one.candidate.name}: {one.failed or ", ".join(one.violated.values())}' for one in finalists
        )
        raise ValueError(f'no finalist keeps the requirements once it is exported ({reasons}). Allow more')
    best = max(keeping, key=search.utility)
    return _write(search, best, files[best.candidate.deployed])


def _exported(search: Search, network: Network) -> Path | None:
    """The verified file of a network; None, and the reason kept, if there is none."""
    candidate, conditions = network.candidate, search.indicators.conditions
    suffix = SUFFIX_OF[conditions.runtime]
    file = search.work_dir / EXPORTED / f'{candidate.deployed}{suffix}'
    if file.is_file():
        return file
    file.parent.mkdir(exist_ok=True)
    cfg = search.trainings.config_of(candidate)
    set_up(cfg, search.work_dir / EXPORTED)
    size = conditions.size_of(search.indicators.point(candidate))
    settings = ExportSettings(FORMAT_OF[conditions.runtime], candidate.precision, size=size, output=conditions.output)
    search.note(f'{candidate.name} is exported')
    try:
        export(cfg, search.trainings.checkpoint(candidate, FIRST_SEED), file, settings)
    except (DeviationError, ValueError) as error:
        network.failed = f'its export is refused: {" ".join(str(error).split())}'
        return None
    return file


def _write(search: Search, best: Network, file: Path) -> Best:
    """Write the leaf config, the weights and the file, and score the test set by both."""
    folder, candidate, problem = search.work_dir, best.candidate, search.problem
    base = load_config(candidate.config)
    leaf = folder / f'{BEST}.py'
    title = f'{problem.title}: the network {candidate.name}, found by a search.'
    changed = candidate.config_of(search.trainings.prepare)
    write_file(leaf, leaf_config(base, changed, os.path.relpath(base.filename, folder.resolve()), title))
    weights = read_weights(search.trainings.checkpoint(candidate, FIRST_SEED))
    with replacing(folder / f'{BEST}.pth') as temporary:
        torch.save({'state_dict': weights}, temporary)
    for part in file.parent.glob(f'{file.stem}.*'):
        with replacing(folder / f'{BEST}{part.suffix}') as temporary:
            shutil.copyfile(part, temporary)
    cfg = load_config(leaf)
    cfg.log_level = 'WARNING'
    set_up(cfg, folder / 'test')
    scored = {name: scores_of(cfg, folder / name)[problem.score] for name in (f'{BEST}.pth', f'{BEST}{file.suffix}')}
    tested, exported = (in_percent(problem.score, float(value)) for value in scored.values())
    command = shlex.join(['tools/test.py', os.path.relpath(leaf), os.path.relpath(folder / f'{BEST}.pth')])
    return Best(best, folder / f'{BEST}{file.suffix}', exported, tested, command)
