"""Videos through a predictor: an annotated video, masks and facts of every frame, with constant memory."""

import itertools
import json
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import cv2
import numpy as np

from projects.storage.atomic_files import replacing

from ..predictor import Predictor
from .fitted_images import PredictedImage, predict_each
from .image_files import InputFile
from .journal import InputJournal
from .pipeline import FailedImage, read_ahead
from .prediction_files import (
    MASKS,
    OVERLAYS,
    PredictionSettings,
    RenderedPrediction,
    render,
    write_picture,
)

CODEC = 'mp4v'  # MPEG-4 part 2, the one that every build of OpenCV can write
MAX_FPS = 120.0  # a container that claims more counts in milliseconds or is broken
TOLERATED_LOSS = 0.01  # of the announced frames; containers without an index estimate them


class DamagedVideoError(OSError):
    """A video that cannot be opened or has no frames."""


class Video:
    """An open video, read frame by frame, upright.

    Attributes:
        fps: Frames per second.
        num_frames: How many the container announces; 0: it does not say.
        num_read: Frames read so far.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._capture = cv2.VideoCapture(str(path))
        fps, count = (self._capture.get(key) for key in (cv2.CAP_PROP_FPS, cv2.CAP_PROP_FRAME_COUNT))
        self.fps = fps if 0 < fps <= MAX_FPS else 25.0
        self.num_frames = max(int(count), 0) if np.isfinite(count) else 0
        self.num_read = 0

    def read(self) -> np.ndarray | None:
        """The next frame, (H, W, 3) uint8 RGB; None at the end."""
        found, frame = self._capture.read()
        if not found:
            return None
        self.num_read += 1
        return np.ascontiguousarray(frame[..., ::-1])

    def close(self) -> None:
        """Let the file go."""
        self._capture.release()

    def damage(self) -> str:
        """How many frames are missing, in words; empty if none is."""
        missing = self.num_frames - self.num_read
        if missing <= max(1, TOLERATED_LOSS * self.num_frames):
            return ''
        return f'the video ends after {self.num_read} of {self.num_frames} frames; these were predicted'


def predict_video(
    predictor: Predictor,
    file: InputFile,
    journal: InputJournal,
    settings: PredictionSettings,
    done: Callable[[int, int], None] = lambda read, announced: None,
) -> None:
    """Write `videos/NAME.mp4`, masks as `masks/NAME/000000.png`, and `videos/NAME.jsonl`, one line per frame.

    Args:
        predictor: The model.
        file: A video.
        journal: Takes one entry; `damage` if the video ends early, `error` if it cannot be read at all.
        settings: What to write; a video has no part in the images' COCO file and table.
        done: Called after each frame with the frames so far and those announced (0 = unknown).

    Raises:
        OSError: A result cannot be written.
        ValueError: The model cannot predict the frames, or there is no encoder.
    """
    written = [f'videos/{file.name}.jsonl']
    video_path, lines_path = (journal.out / f'videos/{file.name}{suffix}' for suffix in ('.mp4', '.jsonl'))
    lines_path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with ExitStack() as stack:
            video = stack.enter_context(closing(Video(file.path)))
            lines = stack.enter_context(stack.enter_context(replacing(lines_path)).open('w', encoding='utf-8'))
            if OVERLAYS in settings.write:
                written.append(f'videos/{file.name}.mp4')
                encode = stack.enter_context(_encoder(stack.enter_context(replacing(video_path)), video.fps))
            for number, rendered in _predict_frames(predictor, video, file, journal.out, settings):
                facts = {'frame': number, 'time_s': round(number / video.fps, 4), **rendered.facts}
                lines.write(f'{json.dumps(facts)}\n')
                if rendered.overlay is not None:
                    encode(rendered.overlay)
                done(number + 1, video.num_frames)
    except DamagedVideoError as error:
        journal.add(file, {'error': str(error)})
        return
    journal.add(file, {'files': written, 'frames': video.num_read, 'damage': video.damage()})


def _predict_frames(
    predictor: Predictor, video: Video, file: InputFile, out: Path, settings: PredictionSettings
) -> Iterator[tuple[int, RenderedPrediction]]:
    """Number and results of each frame, in order."""

    def finish(predicted: PredictedImage[tuple[int, np.ndarray]]) -> tuple[int, RenderedPrediction]:
        number = predicted.item[0]
        rendered = render(predicted.image, predicted.prediction, predictor.info, settings.write)
        if rendered.mask is not None:
            write_picture(out / MASKS / file.name / f'{number:06d}.png', rendered.mask, predictor.info)
        return number, rendered

    with closing(_frames(video, 4 + settings.batch_size)) as frames:  # nothing reads the video once it is closed
        for result in predict_each(
            predictor,
            frames,
            lambda numbered: numbered[1],
            finish,
            batch_size=settings.batch_size,
            score_threshold=settings.score_threshold,
        ):
            if isinstance(result, FailedImage):
                raise DamagedVideoError(f'frame {result.item[0]}: {result.reason}')
            yield result
    if not video.num_read:
        raise DamagedVideoError('the video cannot be decoded: no frame could be read')


def _frames(video: Video, depth: int) -> Generator[tuple[int, np.ndarray], None, None]:
    """Numbered frames, decoded ahead in a thread."""
    with ThreadPoolExecutor(1, 'decoder') as decoder:
        for number, frame in read_ahead(decoder, lambda index: (index, video.read()), itertools.count(), depth):
            if frame is None:
                return
            yield number, frame


@contextmanager
def _encoder(path: Path, fps: float) -> Iterator[Callable[[np.ndarray], None]]:
    """A function that appends pictures, (H, W, 3) uint8 RGB, whose sides become even by repeating the last pixels."""
    writers: list[cv2.VideoWriter] = []

    def encode(picture: np.ndarray) -> None:
        height, width = picture.shape[:2]
        picture = np.pad(picture, ((0, height % 2), (0, width % 2), (0, 0)), mode='edge')
        if not writers:
            writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*CODEC), fps, picture.shape[1::-1])
            writers.append(writer)
            if not writer.isOpened():
                raise ValueError(f'this OpenCV cannot encode videos as {CODEC}; leave overlays out: --write')
        writers[0].write(np.ascontiguousarray(picture[..., ::-1]))

    try:
        yield encode
    finally:
        for writer in writers:
            writer.release()
