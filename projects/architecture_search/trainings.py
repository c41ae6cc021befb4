"""Networks trained on their own, for a part of the recipe's length or all of it."""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mmengine.config import Config

from projects.deployment.scoring import scores_of
from projects.storage.atomic_files import write_file
from projects.training.experiments.runs import RESULT, Run, chosen_checkpoint
from projects.training.experiments.schedule import run_all
from projects.training.hooks import NOT_GIVEN
from projects.training.launch import set_up
from projects.training.run_length import length_of, set_length

from .candidates import Candidate, Prepare, candidate_of
from .held_out import hold_out
from .networks import in_percent
from .problem import Problem
from .space import GrowSpace
from .supernet.scores import SupernetScores
from .supernet.training import supernet_config

FOLDER = 'trainings'
SCORE, SUPERNET = 'score', 'supernet'  # names of the curve and of a run
TESTED = 'test_scores.json'
TRIAL = 'trial'  # a run of one step
TRIAL_IMAGES = 64  # that it scores, at most
WHOLE = 1.0  # share of the recipe's length


@dataclass
class Scores:
    """What trainings gave.

    Attributes:
        held_out: Score on what was held out of the training set, by digest of the network and seed.
        failed: Why a training gave none, by digest of the network.
    """

    held_out: dict[str, dict[int, float]] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)


class Trainings:
    """Trains networks, each once for a length and a seed, and keeps what they scored.

    Args:
        work_dir: Of the search; `trainings/` is made in it.
        prepare: Of their configs: to the data that there are.
        problem: Says what is scored, and what is held out.
        num_processes: Trainings at once.
    """

    def __init__(self, work_dir: Path, prepare: Prepare, problem: Problem, num_processes: int) -> None:
        self.folder, self.prepare, self.problem = work_dir / FOLDER, prepare, problem
        self.score, self.num_processes = problem.score, num_processes
        self.configs = self.folder / 'configs'

    def train(self, candidates: Sequence[Candidate], share: float, seeds: Sequence[int]) -> Scores:
        """Train what is not trained yet.

        Args:
            candidates: The networks.
            share: Of the recipe's length.
            seeds: Of weights and of the order of images.

        Raises:
            ValueError: The folder holds trainings by other settings; or all trainings failed.
        """
        networks = {candidate.trained: candidate for candidate in candidates}
        runs = {
            (trained, seed): self._run(candidate, share, seed)
            for seed in dict.fromkeys(seeds)
            for trained, candidate in networks.items()
        }
        outcome = run_all(list(runs.values()), self.folder, self.num_processes, shared=True)
        scores = Scores()
        for (trained, seed), run in runs.items():
            if run.name in outcome.failed:
                scores.failed[trained] = outcome.failed[run.name]
                continue
            result = json.loads((self.folder / run.name / RESULT).read_text())
            value = result[f'{SCORE}_curve'][-1][SCORE]
            if value is None or not math.isfinite(value):
                scores.failed[trained] = f'{self.score} is no number after training'
                continue
            scores.held_out.setdefault(trained, {})[seed] = in_percent(self.score, value)
        if scores.failed and not scores.held_out:
            raise ValueError(f'no training of {len(runs)} gave a score: {next(iter(scores.failed.values()))}')
        return scores

    def check_score(self, candidate: Candidate) -> None:
        """Train a network for one step and score some images, to see that the evaluator gives the score.

        A network that fails otherwise is none of this: its training counts it.

        Raises:
            ValueError: It does not.
        """
        file = (self.configs / f'{TRIAL}.py').absolute()
        if not file.is_file():
            cfg = self.config_of(candidate)
            set_length(cfg, 1)
            for split, number in (('train', cfg.train_dataloader.batch_size), ('val', TRIAL_IMAGES)):
                dataset = cfg[f'{split}_dataloader'].dataset
                dataset.indices = dataset.indices[:number] if dataset.get('indices') else number
            write_file(file, cfg.pretty_text)
        run = Run(TRIAL, str(file), {}, {'network': TRIAL, 'seed': 0}, curves={SCORE: self.score}, tested=False)
        outcome = run_all([run], self.folder, 1, shared=True)
        if NOT_GIVEN in outcome.failed.get(TRIAL, ''):
            raise ValueError(f'{candidate.config} cannot be searched for {self.score}: {outcome.failed[TRIAL]}')

    def supernet(self) -> SupernetScores:
        """Train the weights that all networks of a grow space share, if they are not trained yet.

        Raises:
            ValueError: The training failed.
        """
        problem = self.problem
        assert isinstance(problem.space, GrowSpace)
        largest = candidate_of(problem.space, problem.config, problem.space.extreme(True), problem.options)
        cfg = self.config_of(largest)
        file = (self.configs / f'{SUPERNET}.py').absolute()
        if not file.is_file():
            length = max(round(problem.proposal_length * length_of(cfg)), 1)
            write_file(file, supernet_config(cfg, problem.space, length).pretty_text)
        run = Run(SUPERNET, str(file), {}, {'network': SUPERNET, 'seed': 0}, tested=False)
        outcome = run_all([run], self.folder, 1, shared=True)
        if SUPERNET in outcome.failed:
            raise ValueError(f'the supernet could not be trained: {outcome.failed[SUPERNET]}')
        return SupernetScores(cfg, problem.space, chosen_checkpoint(self.folder / SUPERNET), self.score)

    def checkpoint(self, candidate: Candidate, seed: int) -> Path:
        """Weights after the whole training."""
        return chosen_checkpoint(self.folder / _name(candidate, WHOLE, seed))

    def test(self, candidate: Candidate, seed: int) -> float:
        """Score on the test set after the whole training, which is done once."""
        file = self.folder / _name(candidate, WHOLE, seed) / TESTED
        if not file.is_file():
            cfg = candidate.config_of(self.prepare)
            cfg.log_level = 'WARNING'
            set_up(cfg, file.parent / 'test')
            scores = scores_of(cfg, self.checkpoint(candidate, seed))
            write_file(file, json.dumps({name: float(value) for name, value in scores.items()}))
        return in_percent(self.score, json.loads(file.read_text())[self.score])

    def config_of(self, candidate: Candidate, share: float = WHOLE) -> Config:
        """The config of a network that trains for a share of the length, and validates on what is held out."""
        self.configs.mkdir(parents=True, exist_ok=True)
        cfg = candidate.config_of(self.prepare)
        hold_out(cfg, self.configs, self.problem.held_out)
        set_length(cfg, max(round(share * length_of(cfg)), 1))
        cfg.default_hooks.pop('visualization', None)
        return cfg

    def _run(self, candidate: Candidate, share: float, seed: int) -> Run:
        file = (self.configs / f'{candidate.trained}_{share:g}.py').absolute()
        if not file.is_file():
            write_file(file, self.config_of(candidate, share).pretty_text)
        return Run(
            name=_name(candidate, share, seed),
            config=str(file),
            options={'randomness.seed': seed},
            about={'network': candidate.trained, 'share': share, 'seed': seed},
            curves={SCORE: self.score},
            tested=False,  # but for what is found, in the end
        )


def _name(candidate: Candidate, share: float, seed: int) -> str:
    return f'{candidate.trained}_{share:g}_seed{seed}'
