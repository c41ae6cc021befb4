"""Measuring the speed claims, one group of networks after another."""

import gc
import tempfile
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from mmengine.registry import MODELS

from projects.efficient_models.layers.batch_norm_folding import fold_batch_norms
from projects.reporting.sections import replace_section
from projects.storage.atomic_files import write_file

from ..benchmark.comparison import import_networks, progress
from ..benchmark.networks import TensorsOut
from ..benchmark.results import Results
from ..benchmark.run import Note, Settings, measure, measure_ceilings
from ..benchmark.subjects import Fold, Subject, network_subject, open_subject
from .claims import BATCH_SIZES, CLAIMS
from .report import render_claims
from .rule import Claim, Network

USUAL = Settings(runtimes=('eager', 'traced', 'onnxruntime', 'openvino'), batch_sizes=(), seconds=1.5)


def check_claims(given: dict[str, Any], out: Path | None = None, readme: Path | None = None) -> Path:
    """Measure all claims; print the table, and write it beside all times.

    Args:
        given: What differs from the `USUAL` settings.
        out: Folder; None: `work_dirs/speed_claims`.
        readme: File whose table is replaced; None: none.

    Returns:
        The file of all times.

    Raises:
        ValueError: Nothing can be timed, or the file has no place for the table.
    """
    import_networks()
    out = out or Path('work_dirs/speed_claims')
    out.mkdir(parents=True, exist_ok=True)
    with progress() as note:
        table = render_claims(run_claims(out / 'results.json', replace(USUAL, **given), fold_batch_norms, note))
    write_file(out / 'table.md', f'{table}\n')
    print(table)
    if readme is not None:
        replace_section(readme, 'speed claims', table)
        print(f'wrote {readme}')
    return out / 'results.json'


def run_claims(
    path: Path, settings: Settings, fold: Fold, note: Note, groups: dict[str, list[Claim]] = CLAIMS
) -> Results:
    """Measure all groups that the results have not yet.

    Networks of a group take turns. Without precisions in the settings, OpenVINO computes in bf16, too.

    Args:
        path: The file of results; an interrupted run continues with the group that it was at.
        settings: Batch size and number of threads are the first of theirs; no batch size: as the authors.
        fold: See `open_subject`.
        note: See `run_benchmark`.
        groups: Claims by name of the group; its networks take turns.
    """
    question = {'claims': [claim.title for claims in groups.values() for claim in claims], **asdict(settings)}
    results = Results(path, question)
    measure_ceilings(results, settings, settings.threads[0], note)
    for name, claims in groups.items():
        if results.has(name):
            continue
        subjects = []
        networks = networks_of(claims)
        for index, network in enumerate(networks):
            note(f'{name}: building {network.label}', index / len(networks))
            subjects.append(build(network, fold))
            results.describe(subjects[-1])
        batch_size = settings.batch_sizes[0] if settings.batch_sizes else BATCH_SIZES.get(name, 1)
        with tempfile.TemporaryDirectory() as folder:
            measured = [
                one
                for part in parts_of(settings)
                for one in measure(subjects, part, batch_size, part.threads[0], Path(folder), results, note, name)
            ]
        results.add(name, measured)
        del subjects
        gc.collect()
    return results


def parts_of(settings: Settings) -> list[Settings]:
    """Split settings without precisions: all runtimes in fp32, then OpenVINO in bf16, the fastest there is here."""
    if settings.precisions or 'openvino' not in settings.runtimes:
        return [settings]
    return [settings, replace(settings, runtimes=('openvino',), precisions=('bf16',))]


def networks_of(claims: list[Claim]) -> list[Network]:
    """Return each network of some claims once."""
    networks = {one.label: one for claim in claims for one in (claim.faster, claim.slower)}
    return list(networks.values())


def build(network: Network, fold: Fold) -> Subject:
    """Build a network with random weights."""
    size = (network.side, network.side)
    if isinstance(network.source, str):
        subject = open_subject(network.source, size, fold)
        subject.name = network.label
        return subject
    torch.manual_seed(0)
    return network_subject(network.label, TensorsOut(MODELS.build(network.source)), size, fold)
