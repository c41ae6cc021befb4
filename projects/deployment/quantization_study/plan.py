"""A study file -> networks, their trainings, and what quantises them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import Any

from mmengine.config import Config

from projects.training.config import load_config
from projects.training.experiments.runs import Run
from projects.training.experiments.settings import check_group, check_keys, read_settings

from ..quantization.scheme import EXECUTABLE
from .records import FLOAT, NNCF, Candidate, Cell, check_calibration

Change = Callable[[Config], None]
NETWORK_KEYS = {'title': True, 'config': True, 'options': False, 'checkpoints': False}
METHOD_KEYS = dict.fromkeys(('bits', 'forms', 'reconstruct', 'networks'), False)


@dataclass(frozen=True)
class Study:
    """What is compared.

    Attributes:
        name: Of its file.
        title: For people.
        networks: By name: `title`, `config`, `options` of it, and `checkpoints`, one for each seed, of networks that
            are trained already.
        methods: By name: `bits` (all that the study has), `forms` ('executable'), `reconstruct` (no), and the
            `networks` that it is for (all).
        bits: Of weights and activations.
        seeds: Of the trainings.
        baselines: Methods that the others are compared with, at the same number of bits.
        calibration_sets: Number of disjoint sets of training images.
        calibration_images: Of each set.
        test_images: Number of them.
        draws: Of the bootstrap.
        sample: Whether to train and test on the small generated data sets.
        num_processes: Trainings at once.
    """

    name: str
    title: str
    networks: Mapping[str, Mapping[str, Any]]
    methods: Mapping[str, Mapping[str, Any]]
    bits: Sequence[int] = (8,)
    seeds: Sequence[int] = (0, 1, 2)
    baselines: Sequence[str] = (NNCF, 'minmax')
    calibration_sets: int = 3
    calibration_images: int = 32
    test_images: int = 256
    draws: int = 200
    sample: bool = False
    num_processes: int = 1

    def candidates(self, network: str | None = None) -> list[Candidate]:
        """All quantisers, or those that are for a network, the network in float first."""
        found = [Candidate(FLOAT, 32)]
        for name, method in self.methods.items():
            if network is not None and network not in method.get('networks', self.networks):
                continue
            for bits in method.get('bits', (8,) if name == NNCF else self.bits):
                for form in method.get('forms', (EXECUTABLE,)):
                    found.append(Candidate(name, bits, form, method.get('reconstruct', False)))
        return found

    def cells(self) -> list[Cell]:
        """All of them; those that widen the comparison come first: one of every network before a second of any."""
        return [
            Cell(network, seed, calibration)
            for calibration in range(self.calibration_sets)
            for seed in self.seeds
            for network in self.networks
        ]


def read_study(path: Path, options: Mapping[str, Any] | None = None) -> Study:
    """Read a study file.

    Args:
        path: A Python file of assignments, as mmengine's configs are.
        options: Dotted keys and values that override it; None in the place of a network or method leaves it out.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It has unknown keys, methods or numbers of bits, lacks some, or what it asks for does not go
            together.
    """
    if not path.is_file():
        raise FileNotFoundError(f'no study {path}; configs/quantization/hybrids_sample.py is one')
    content = read_settings(path, options or {})
    check_keys(
        str(path), content, {each.name: each.default is MISSING for each in fields(Study) if each.name != 'name'}
    )
    named = list(content['networks'])
    for part, keys in (('networks', NETWORK_KEYS), ('methods', METHOD_KEYS)):
        check_group(f'{path}: {part}', content[part])
        content[part] = {name: each for name, each in content[part].items() if each is not None}
        if not content[part]:
            raise ValueError(f'{path}: no {part}')
        for name, each in content[part].items():
            check_keys(f'{path}: {part}.{name}', each, keys)
    study = Study(name=path.stem, **content)
    _ = study.candidates()  # refuses what is not there
    check_calibration(study.calibration_images)
    for name in ('calibration_sets', 'test_images', 'draws'):
        if getattr(study, name) < 1:
            raise ValueError(f'{path}: {name} = {getattr(study, name)}; expected 1 or more')
    if absent := [name for name in study.baselines if name not in study.methods]:
        raise ValueError(f'{path}: baselines {absent} are not among the methods {list(study.methods)}')
    for name, method in study.methods.items():
        if unknown := [network for network in method.get('networks', ()) if network not in named]:
            raise ValueError(f'{path}: methods.{name}.networks {unknown}: expected some of {named}')
    for name, network in study.networks.items():
        if 'checkpoints' in network and len(network['checkpoints']) != len(study.seeds):
            raise ValueError(
                f'{path}: networks.{name} has {len(network["checkpoints"])} checkpoints for the seeds '
                f'{list(study.seeds)}; expected one for each'
            )
    return study


def network_config(study: Study, network: str, prepare: Change | None) -> Config:
    """The config of a network with the study's options.

    Args:
        study: What is compared.
        network: Its name.
        prepare: See `load_config`.
    """
    given = study.networks[network]
    return load_config(given['config'], dict(given.get('options', {})), prepare)


def plan_trainings(study: Study, folder: Path, prepare: Change | None) -> list[Run]:
    """The trainings of networks without checkpoints; their configs, as they are prepared, are written into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    runs = []
    for network, given in study.networks.items():
        if 'checkpoints' in given:
            continue
        file = (folder / f'{network}.py').absolute()
        network_config(study, network, prepare).dump(file)
        runs += [
            Run(
                name=training_name(network, seed),
                config=str(file),
                options={'randomness.seed': seed},
                about={'network': network, 'seed': seed},
            )
            for seed in study.seeds
        ]
    return sorted(runs, key=lambda run: list(study.seeds).index(run.about['seed']))


def training_name(network: str, seed: int) -> str:
    """Name of a training, and of its folder."""
    return f'{network}_seed{seed}'
