"""The study in one call: trainings, then every candidate in every cell; what is there already is kept."""

import json
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock, Timeout
from mmengine.config import Config
from rich.progress import Progress

from projects.reporting.progress import progress_bars
from projects.storage.atomic_files import write_file
from projects.storage.locations import locate
from projects.storage.parameters import differences, digest
from projects.training.config import load_config
from projects.training.experiments.schedule import Outcome, run_all

from ..benchmark.machine import processor_name
from ..benchmark.timing import Quartiles, time_in_turns
from ..export.calibration_images import NamedImage
from ..model_info import ModelInfo
from ..predictions import Prediction
from ..predictor import Predictor
from ..quantization.fidelity import ExactHeads, exact_heads, head_sqnr_db
from ..runtimes.openvino_session import OpenVINOSession
from ..runtimes.torch_session import TorchSession
from .evidence import resamplings
from .plan import Change, Study, network_config, plan_trainings, training_name
from .records import FLOAT, Candidate, Cell, Latency, Measurement, Score
from .subject import PRECISION, Quantized, Subject, trained_checkpoint
from .test_set import (
    TestImage,
    calibration_sets,
    fidelity_evidence,
    label_evidence,
    predict_all,
    read_test_images,
)

FAILED = 'failed.json'
MEASUREMENTS, LATENCIES, FILES, RUNS, CONFIGS = 'measurements', 'latencies', 'files', 'runs', 'configs'
ROUNDS = 15  # of the timing
SQNR_IMAGES = 16
EXAMPLES = 8  # test images on which the runtime is compared with the simulation
FLOAT_CANDIDATE = Candidate(FLOAT, 32)


@dataclass
class _Data:
    """Of a network: its config as it is tested, its images, and the size that its graph is fixed to."""

    cfg: Config
    test: list[TestImage]
    calibration: list[list[NamedImage]]
    weights: np.ndarray


def run_study(
    study: Study,
    folder: Path,
    num_processes: int | None = None,
    networks: Sequence[str] = (),
    methods: Sequence[str] = (),
    prepare: Change | None = None,
    renew_test: Change | None = None,
) -> Outcome:
    """Train, quantise and measure all that is not there yet.

    Args:
        study: What is compared.
        folder: Receives `runs/` (trainings), `measurements/`, `latencies/` and `files/` (OpenVINO).
        num_processes: Trainings at once; None: the study's.
        networks: Leave out all others; empty: all.
        methods: Leave out all others; empty: all.
        prepare: Changes each config before its options are merged, see `load_config`.
        renew_test: Gives a config a test set of `study.test_images` images that nothing was chosen on.

    Returns:
        Which trainings finished, and what failed of trainings and measurements.

    Raises:
        ValueError: An unknown network or method; what is there was made from something else; or another process is at
            it.
    """
    for kind, given, known in (('networks', networks, study.networks), ('methods', methods, study.methods)):
        if unknown := set(given) - set(known):
            raise ValueError(f'unknown {kind} {sorted(unknown)}; the study has {list(known)}')
    if networks:
        study = replace(study, networks={name: study.networks[name] for name in networks})
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(folder / '.lock', timeout=0):
            trainings = plan_trainings(study, folder / CONFIGS, prepare)
            outcome = Outcome([], {})
            if trainings:
                outcome = run_all(trainings, folder / RUNS, num_processes or study.num_processes)
            wanted = [one for one in study.candidates() if not methods or one.method in (FLOAT, *methods)]
            outcome.failed.update(_measure_all(study, folder, wanted, set(outcome.failed), prepare, renew_test))
            write_file(folder / FAILED, json.dumps(outcome.failed, indent=1))
            return outcome
    except Timeout:
        raise ValueError(f'{folder} is in use: another process is at this study') from None


def _measure_all(
    study: Study,
    folder: Path,
    candidates: Sequence[Candidate],
    untrained: set[str],
    prepare: Change | None,
    renew_test: Change | None,
) -> dict[str, str]:
    failed: dict[str, str] = {}
    for name in (MEASUREMENTS, LATENCIES, FILES):
        (folder / name).mkdir(exist_ok=True)
    cells = [cell for cell in study.cells() if training_name(cell.network, cell.seed) not in untrained]
    of = {name: [one for one in study.candidates(name) if one in candidates] for name in study.networks}
    data: dict[str, _Data] = {}
    trained: dict[str, _Trained] = {}
    with progress_bars() as bars:
        task = bars.add_task('measurements', total=sum(len(of[cell.network]) for cell in cells))
        for cell in cells:
            bars.update(task, description=cell.key)
            try:
                if cell.network not in data:
                    data[cell.network] = _read_data(study, folder, cell.network, prepare, renew_test)
                name = training_name(cell.network, cell.seed)
                if name not in trained:
                    trained[name] = _Trained(study, folder, cell.network, cell.seed, data[cell.network])
                bench = _Bench(study, folder, cell, trained[name])
            except Exception as error:  # networks and data fail in any way; the others go on
                _note(failed, cell.key, error, bars)
                bars.advance(task, len(of[cell.network]))
                continue
            for candidate in of[cell.network]:
                try:
                    bench.measure(candidate)
                except Exception as error:
                    _note(failed, f'{cell.key}_{candidate.key}', error, bars)
                bars.advance(task)
            bench.time(of[cell.network])
    return failed


def _note(failed: dict[str, str], key: str, error: Exception, bars: Progress) -> None:
    failed[key] = f'{type(error).__name__}: {error}'
    bars.console.print(f'failed: {key}: {failed[key]}', style='red', markup=False)


def _read_data(study: Study, folder: Path, network: str, prepare: Change | None, renew_test: Change | None) -> _Data:
    if 'checkpoints' in study.networks[network]:
        cfg = network_config(study, network, prepare)
    else:
        cfg = load_config(folder / CONFIGS / f'{network}.py')
    info = ModelInfo.from_config(cfg)
    if renew_test is not None:
        renew_test(cfg)
    first = read_test_images(cfg, info, 1)[0].pixels
    info = replace(info, input_size=(first.shape[0], first.shape[1]))
    test = read_test_images(cfg, info, study.test_images)
    sets = calibration_sets(cfg, info, study.calibration_sets, study.calibration_images)
    return _Data(cfg, test, sets, resamplings(len(test), study.draws))


class _Trained:
    """A training of a network, opened when it is needed first."""

    def __init__(self, study: Study, folder: Path, network: str, seed: int, data: _Data) -> None:
        self.folder, self.name, self.data = folder, training_name(network, seed), data
        checkpoints = study.networks[network].get('checkpoints')
        if checkpoints:
            self.checkpoint = locate(checkpoints[list(study.seeds).index(seed)])
        else:
            self.checkpoint = trained_checkpoint(folder / RUNS / self.name)
        self.digest = digest([self.checkpoint.read_bytes()])

    @cached_property
    def subject(self) -> Subject:
        """The network."""
        images = [image.pixels[None] for image in self.data.test]
        examples = [image for image in images if image.shape == images[0].shape][:EXAMPLES]
        return Subject(self.data.cfg, self.checkpoint, examples)

    @cached_property
    def float_file(self) -> Path:
        """The network in float, which all its cells share."""
        path = self.folder / FILES / f'{self.name}_{FLOAT}.xml'
        if not path.is_file():
            self.subject.quantize(FLOAT_CANDIDATE, (), path, None)
        return path

    @cached_property
    def reference(self) -> list[Prediction]:
        """What it says in float."""
        return predict_all(Predictor(OpenVINOSession(self.float_file, PRECISION), self.subject.info), self.data.test)

    @cached_property
    def exact_heads(self) -> list[ExactHeads]:
        """What its heads say in float of the first test images."""
        return exact_heads(self.subject.graph, [image.pixels[None] for image in self.data.test[:SQNR_IMAGES]])


class _Bench:
    """A cell, in which candidates are measured one by one."""

    def __init__(self, study: Study, folder: Path, cell: Cell, trained: _Trained) -> None:
        self.folder, self.cell, self.trained, self.data = folder, cell, trained, trained.data
        self.is_first = cell.seed == study.seeds[0] and cell.calibration == 0
        self.images = self.data.calibration[cell.calibration]
        self.made_with = {
            'checkpoint': trained.digest,
            'calibration': digest(image.pixels.tobytes() for image in self.images),
            'test': digest(image.pixels.tobytes() for image in self.data.test),
            'draws': study.draws,
        }

    def measure(self, candidate: Candidate) -> Measurement | None:
        """Measure a candidate, if that has not been done; of the network in float once for each training."""
        cell = self.cell
        if candidate.method == FLOAT and cell.calibration != 0:
            return None
        path = self.folder / MEASUREMENTS / f'{cell.key}_{candidate.key}.json'
        if path.is_file():
            return self._read(path)
        subject, file = self.trained.subject, self._file(candidate)
        work = self.folder / FILES / f'{cell.key}_{candidate.key}_search'
        if candidate.method == FLOAT:
            quantized, found = Quantized(None, 0.0), self.trained.reference
        else:
            quantized = subject.quantize(candidate, self.images, file, work)
            found = predict_all(self._predictor(candidate, quantized), self.data.test)
        measurement = Measurement(
            cell,
            candidate,
            fidelity=self._score(fidelity_evidence(found, self.trained.reference, subject.info)),
            label=self._score(label_evidence(found, self.data.test, subject.info)),
            sqnr_db=self._sqnr_db(quantized),
            search_s=quantized.search_s,
            details=subject.details(quantized, file if candidate.is_executed else None) if self.is_first else None,
            made_with=self.made_with,
        )
        write_file(path, measurement.to_json())
        shutil.rmtree(work, ignore_errors=True)
        if not self.is_first and candidate.method != FLOAT:
            file.unlink(missing_ok=True)
            file.with_suffix('.bin').unlink(missing_ok=True)
        return measurement

    def time(self, candidates: Sequence[Candidate]) -> None:
        """Time all candidates that a runtime executes, in turns on one image, if this is the first cell."""
        path = self.folder / LATENCIES / f'{self.cell.network}.json'
        there = [one for one in candidates if one.is_executed and self._file(one).is_file()]
        if not self.is_first or not there or (path.is_file() and set(_keys(path)) >= {one.key for one in there}):
            return
        threads = os.cpu_count() or 1
        image = self.data.test[0].pixels[None]
        sessions = [OpenVINOSession(self._file(one), PRECISION, threads) for one in there]
        times = time_in_turns([partial(session, image) for session in sessions], rounds=ROUNDS)
        quartiles = {
            one.key: Quartiles.of([1e3 * float(np.median(calls)) for calls in rounds])
            for one, rounds in zip(there, times, strict=True)
        }
        size = (image.shape[1], image.shape[2])
        write_file(path, Latency(self.cell.network, size, processor_name(), threads, quartiles).to_json())

    def _file(self, candidate: Candidate) -> Path:
        if candidate.method == FLOAT:
            return self.trained.float_file
        return self.folder / FILES / f'{self.cell.key}_{candidate.key}.xml'

    def _read(self, path: Path) -> Measurement:
        measurement = Measurement.from_json(path.read_text())
        if changed := differences(measurement.made_with, self.made_with):
            raise ValueError(
                f'{path} was made from something else: {"; ".join(changed)}. Choose another --work-dir, or remove that '
                'file to measure again'
            )
        return measurement

    def _predictor(self, candidate: Candidate, quantized: Quantized) -> Predictor:
        info = self.trained.subject.info
        if candidate.is_executed:
            return Predictor(OpenVINOSession(self._file(candidate), PRECISION), info)
        assert quantized.graph is not None
        return Predictor(TorchSession(quantized.graph), info)

    def _score(self, evidence: Any) -> Score:
        value = evidence.score(np.ones((1, len(self.data.test)), int))[0]
        return Score(float(value), tuple(np.round(evidence.score(self.data.weights), 4).tolist()))

    def _sqnr_db(self, quantized: Quantized) -> dict[str, float]:
        if quantized.graph is None:
            return {}
        return head_sqnr_db(self.trained.exact_heads, quantized.graph)  # type: ignore[arg-type]  # a graph in all but name


def _keys(path: Path) -> list[str]:
    return list(json.loads(path.read_text())['quartiles_ms'])


def read_measurements(folder: Path) -> list[Measurement]:
    """All that has been measured so far."""
    return [Measurement.from_json(path.read_text()) for path in sorted((folder / MEASUREMENTS).glob('*.json'))]


def read_latencies(folder: Path) -> list[Latency]:
    """All that has been timed so far."""
    return [Latency.from_json(path.read_text()) for path in sorted((folder / LATENCIES).glob('*.json'))]
