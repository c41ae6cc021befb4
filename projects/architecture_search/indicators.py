"""What networks are, before any is trained: parameters, multiply-adds, latency, memory."""

import copy
import json
import math
import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from projects.deployment.benchmark.peak_memory import peak_memory_mb
from projects.deployment.export.settings import ExportSettings
from projects.deployment.export.verified_export import usual_size
from projects.deployment.inference_graphs import load_model
from projects.deployment.model_table.complexity import count_complexity
from projects.storage.atomic_files import write_file
from projects.training.checkpoints import switch_off_pretrained

from .candidates import Candidate, Prepare, candidate_of
from .latency.graphs import SUFFIX_OF, graph_file
from .latency.measure import Conditions, LatencyMeter, opened
from .latency.table import BlockTable
from .networks import Network
from .problem import Problem, Requirements
from .space import IMAGE_SCALE, PRECISION, GrowSpace, Point

FILE = 'indicators.json'
FORMAT_OF = {'onnxruntime': 'onnx', 'openvino': 'openvino'}
HAND_MADE = 'hand_made'  # a choice that no space has: the name of a config
REASON_CHARS = 300


class Indicators:
    """Finds the indicators of networks, each once, cheapest first; what violates a requirement is measured no further.

    Args:
        problem: Whose networks.
        requirements: That they must keep.
        prepare: Of their configs.
        runtime: 'onnxruntime' or 'openvino'.
        threads: Of the processor.
        cpu_time: See `Conditions`.
        work_dir: An existing folder, which keeps what was found.

    Attributes:
        table: Predicts the latencies of a grow space; None of another one.
        meter: Measures whole networks.
    """

    def __init__(
        self,
        problem: Problem,
        requirements: Requirements,
        prepare: Prepare,
        runtime: str,
        threads: int,
        cpu_time: bool,
        work_dir: Path,
    ) -> None:
        self.problem, self.requirements, self.prepare = problem, requirements, prepare
        for precision in problem.space.precisions:
            ExportSettings(FORMAT_OF[runtime], precision)  # refuses what the runtime does not compute
        self.hand_made = {candidate.name: candidate for candidate in problem.hand_made}
        size = usual_size(Candidate('', problem.config, problem.options).config_of(prepare))
        self.conditions = Conditions(runtime, size, threads, cpu_time)
        self.meter = LatencyMeter(lambda point: self.candidate(point).config_of(prepare), self.conditions, work_dir)
        self.table = BlockTable(problem.space, self.meter) if isinstance(problem.space, GrowSpace) else None
        self.file = work_dir / FILE
        self.known: dict[str, dict[str, Any]] = json.loads(self.file.read_text()) if self.file.is_file() else {}

    def candidate(self, point: Point) -> Candidate:
        """The network of a point, or the config that a person made."""
        if HAND_MADE in point:
            return self.hand_made[str(point[HAND_MADE])]
        return candidate_of(self.problem.space, self.problem.config, point, self.problem.options)

    @staticmethod
    def point(candidate: Candidate) -> Point:
        """What the meter knows a network by."""
        if candidate.point is not None:
            return candidate.point
        return {HAND_MADE: candidate.name, IMAGE_SCALE: candidate.image_scale, PRECISION: candidate.precision}

    def look_at(self, candidates: Sequence[Candidate], measured: bool) -> list[Network]:
        """Find the indicators of networks, and what they violate.

        Args:
            candidates: The networks.
            measured: Whether whole files are measured; else latencies are predicted where there is a table.
        """
        networks = [Network(candidate) for candidate in candidates]
        for network in networks:
            self._count(network)
        alive = [network for network in networks if network.is_feasible]
        points = [self.point(network.candidate) for network in alive]
        if self.table is not None:
            ours = [index for index, network in enumerate(alive) if network.candidate.point is not None]
            for index, ms in zip(ours, self.table.predict([points[index] for index in ours]), strict=True):
                self._predicted(alive[index], float(ms))
        if measured or self.table is None:
            for network, latency in zip(alive, self.meter.measure(points), strict=True):
                network.failed = latency.failure
                network.indicators['latency_ms'] = latency.ms
        if 'memory_mb' in self.requirements.limits:
            for network in alive:
                if not network.failed and not self.requirements.violated(network.indicators):
                    self._measure_memory(network)
        for network in networks:
            network.violated = self.requirements.violated(network.indicators)
        return networks

    def _predicted(self, network: Network, ms: float) -> None:
        network.predicted_ms = ms
        network.indicators['latency_ms'] = ms
        if not math.isfinite(ms):
            network.failed = 'a part of it cannot be exported'

    def _count(self, network: Network) -> None:
        """Parameters and multiply-adds, from shapes alone."""
        key = network.candidate.trained
        if key not in self.known:
            try:
                cfg = copy.deepcopy(network.candidate.config_of(self.prepare))
                switch_off_pretrained(cfg.model)
                size = self.conditions.size_of(self.point(network.candidate))
                complexity = count_complexity(load_model(cfg), size)
                self._keep(key, {'params_m': complexity.params / 1e6, 'macs_g': complexity.macs.total / 1e9})
            except (ValueError, MemoryError) as error:  # a network that does not fit together, or is too large
                self._keep(key, {'failed': ' '.join(str(error).split())[:REASON_CHARS]})
        found = self.known[key]
        network.failed = found.get('failed', '')
        network.indicators |= {name: found[name] for name in ('params_m', 'macs_g') if name in found}
        network.violated = self.requirements.violated(network.indicators)

    def _measure_memory(self, network: Network) -> None:
        """What opening the file and running it adds to a process."""
        key = f'{network.candidate.deployed}_{self.conditions.runtime}_memory'
        if key not in self.known:
            with tempfile.TemporaryDirectory() as folder:
                point = self.point(network.candidate)
                path = Path(folder, f'network{SUFFIX_OF[self.conditions.runtime]}')
                cfg = network.candidate.config_of(self.prepare)
                graph_file(cfg, path, network.candidate.precision, self.conditions.size_of(point))
                call = partial(opened, path, self.conditions.runtime, self.conditions.threads)
                self._keep(key, {'memory_mb': peak_memory_mb(call, [self.conditions.runtime])})
        network.indicators |= self.known[key]

    def _keep(self, key: str, found: dict[str, Any]) -> None:
        self.known[key] = found
        write_file(self.file, json.dumps(self.known, indent=1))
