"""One part of a command's inputs: files by their names, rasters by their strips, none twice if it can be helped."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from secrets import token_hex
from typing import Any

from projects.reporting.progress import progress_bar

from ..predictor import Predictor
from .image_files import IMAGE, RASTER, InputFile
from .journal import InputJournal
from .parts import Hands, Part
from .prediction_files import PredictionSettings, predict_files
from .videos import predict_video

FILES_AT_ONCE = 16  # are taken in hand together, or a two-thousandth of very many


@dataclass
class PartReport:
    """What one part did.

    Attributes:
        part: Which one it was.
        num_files: Images and videos that it predicted.
        strips: How many it made of each raster, by the raster's name.
        failed: Path and reason of each raster that could not be predicted; images that could not are told by the join.
    """

    part: Part
    num_files: int = 0
    strips: dict[str, int] = field(default_factory=dict)
    failed: list[tuple[str, str]] = field(default_factory=list)

    def as_text(self) -> str:
        """What people read of it."""
        strips = [f'{number} strips of {name}' for name, number in self.strips.items()]
        return (
            f'part {self.part}: predicted {", ".join([f"{self.num_files} images and videos", *strips])}\n'
            'when all parts have ended, join them: the same command with --join instead of --part'
        )


def predict_part(
    predictor: Predictor,
    files: list[InputFile],
    out: Path,
    settings: PredictionSettings,
    part: Part,
    *,
    identity: dict[str, Any],
) -> PartReport:
    """Predict what is one part's, and what others leave; `predict_inputs(join=True)` makes the results of all.

    Args:
        predictor: The model.
        files: From `find_inputs`, the same for all parts.
        out: Folder that all parts see, made if need be.
        settings: The same for all parts.
        part: Which one this is.
        identity: See `predict_inputs`.

    Raises:
        ValueError: The folder holds results of another model or other settings, or the model can predict none of the
            images.
        OSError: A result cannot be written.
    """
    journal = InputJournal(out, f'part{part.index}-{token_hex(6)}')
    journal.begin(settings.with_identity(identity), resume=True, alone=False)
    report = PartReport(part)
    plain = [file for file in files if file.kind != RASTER]
    with Hands(journal.hands, part) as hands:  # also where there are rasters alone: who resumes sees who is at work
        if plain:
            _predict_plain(predictor, plain, journal, settings, report, hands)
        rasters = [file for file in journal.missing(files) if file.kind == RASTER]
        if rasters:  # which need the extra 'geo'
            from .rasters.input_rasters import InputRasters

            inputs = InputRasters(predictor, journal, settings, identity['weights'])
            for file in rasters:
                try:
                    report.strips[file.name] = inputs.predict_part(file, part)
                except Exception as error:  # whatever it is, the other inputs are predicted
                    named = '' if isinstance(error, ValueError | OSError) else f'{type(error).__name__}: '
                    report.failed.append((str(file.path), f'{named}{error}'))
    return report


def _predict_plain(
    predictor: Predictor,
    files: list[InputFile],
    journal: InputJournal,
    settings: PredictionSettings,
    report: PartReport,
    hands: Hands,
) -> None:
    """Predict images and videos, as they are taken in hand."""
    total, finished = len(files), journal.finished_of(files)
    at_once = max(FILES_AT_ONCE, total // 2000)
    with progress_bar('files', len(report.part.share(total))) as advance:

        def taken() -> Iterator[InputFile]:
            for number in hands.take(total, finished, at_once):
                report.num_files += 1
                advance(1)
                yield files[number]

        while hands.is_more(total, finished):
            for kind, some in groupby(taken(), key=lambda file: file.kind):
                if kind == IMAGE:
                    predict_files(predictor, some, journal, settings)
                else:
                    for file in some:
                        predict_video(predictor, file, journal, settings)
