"""What the tools share: checked options, and errors told to people.

A mistake of the user's is one line on stderr, in a distributed run one for all processes; a fault of the program is a
traceback. Exit codes: 0 all is done, 1 for data and files (what could be done is), 2 for the command itself (as
argparse has it), 130 after Ctrl-C. With `--json` the outcome is an object, see `outcomes`.
"""

import argparse
import ast
import linecache
import math
import os
import re
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import Any, ClassVar, NoReturn

from projects.outcomes import Outcome, rank, stdout_for_json

# What tools offer, and other rooms do
RUNTIMES = ('eager', 'compile', 'onnxruntime', 'openvino')
TORCH_RUNTIMES = ('eager', 'traced', 'compile', 'cudagraphs')  # of a benchmark, which times them besides the others
TIMED_RUNTIMES = (*TORCH_RUNTIMES, 'onnxruntime', 'openvino')
PRECISIONS = ('fp32', 'bf16', 'fp16')  # to compute in
EXPORTED_PRECISIONS = ('fp32', 'fp16', 'bf16', 'int8')  # of files
OUTPUTS = ('probabilities', 'labels', 'logits')  # of segmentors
NNCF = 'nncf'
QUANTIZERS = ('minmax', 'mse', 'easyquant', 'ptq4vit', 'fqvit', 'repqvit', 'qhyvit', 'trio', NNCF)  # of int8
DEFAULT_QUANTIZER = 'mse'
POLYGON_FORMATS = ('gpkg', 'geojson', 'fgb', 'parquet', 'pmtiles')  # endings of files of polygons
MEANINGS = ('probability', 'percent', 'byte', 'mask')  # of the values of a raster of buildings

USER_ERRORS = (OSError, ValueError, ImportError, MemoryError)  # the messages of which say what to do
ARGUMENT_ERRORS = (TypeError, KeyError, AssertionError)  # of what is built from a config
BUILDER = 'mmengine/registry/build_functions.py'
CONSTRUCTORS = ('__init__', '_init_', 'build_')  # and their helpers; beginnings of names
OTHER_PROCESS_WAITS_S = 30  # until the launcher has stopped it, if all failed; on a busy machine some start much later


class UsageError(ValueError):
    """The command is wrong, whatever the data."""


@contextmanager
def told_in_one_line(tool: str, after_interrupt: str = 'stopped') -> Iterator[Outcome]:
    """Turn errors of the user into one line and an exit code; let all others pass, with their traceback.

    With `--json` what is printed meanwhile goes to stderr, and the outcome is printed as JSON, whatever it is.

    Of a distributed run the first process speaks at once. The others wait: if all of them failed, their launcher ends
    them meanwhile, and if only one did, its message is not lost.

    Args:
        tool: Name of the tool, before every message.
        after_interrupt: What to say after Ctrl-C, such as how to continue.

    Yields:
        What the tool adds its results to.

    Raises:
        SystemExit: With 1, 2 or 130; the message has been printed, or is what the exit prints (1).

    Example:
        >>> with told_in_one_line('train') as outcome:
        ...     outcome.wrote('work_dirs/a', scores=train(cfg))
    """
    outcome, begin = Outcome(), time.monotonic()
    with stdout_for_json(Parser.wants_json) as print_json:

        def tell(code: int, error: str | None = None) -> None:
            told = {'command': tool, 'exit_code': code, 'seconds': round(time.monotonic() - begin, 3)}
            failure = {} if error is None else {'error': error}
            print_json({**told, 'results': outcome.results, 'paths': outcome.paths, **failure})

        try:
            yield outcome
        except KeyboardInterrupt:
            tell(130, after_interrupt)
            _leave(tool, after_interrupt, 130)
        except SystemExit as stop:  # the tool has said why
            code = 1 if isinstance(stop.code, str) else int(stop.code or 0)
            reason = str(stop.code).removeprefix(f'{tool}: ') if isinstance(stop.code, str) else 'see results'
            tell(code, reason if code else None)
            raise
        except Exception as error:
            message = message_to_user(error)
            code = 2 if isinstance(error, UsageError) else 1
            tell(code, f'{type(error).__name__}: {error}' if message is None else message)
            if message is None:
                raise
            _leave(tool, message, code)
        else:
            tell(0)


class Parser(argparse.ArgumentParser):
    """argparse's parser, which in a distributed run speaks once as well, and tells shells what may be typed next.

    Attributes:
        launcher: The command whose word names the tool; '': the tool was called by the name of its file.
        wants_json: Whether this process was asked for JSON.
    """

    launcher: ClassVar[str] = ''
    wants_json: ClassVar[bool] = False

    def __init__(self, prog: str | None = None, **options: Any) -> None:
        if prog is None and self.launcher:
            prog = f'{self.launcher} {Path(sys.argv[0]).stem}'
        super().__init__(prog, **options)
        text = 'print one JSON object in the end, and all else on stderr'
        self.add_argument('--json', action=_WantsJson, nargs=0, default=argparse.SUPPRESS, help=text)

    def parse_args(self, args: Any = None, namespace: Any = None) -> Any:
        if '_ARGCOMPLETE' in os.environ:
            import argcomplete  # only now: it is for shells

            argcomplete.autocomplete(self)
        Parser.wants_json = '--json' in (sys.argv[1:] if args is None else args)  # known if the rest is wrong, too
        return super().parse_args(args, namespace)

    def error(self, message: str) -> NoReturn:
        _let_the_first_process_speak()
        with stdout_for_json(Parser.wants_json) as print_json:
            told = {'command': self.prog.removeprefix(f'{self.launcher} ').replace('.py', ''), 'exit_code': 2}
            print_json({**told, 'seconds': 0.0, 'results': {}, 'paths': [], 'error': message})
        super().error(message)


class _WantsJson(argparse.Action):
    """`--json`, which leaves nothing in the arguments."""

    def __call__(self, *_: Any) -> None:
        Parser.wants_json = True


def command_of(tool: str) -> list[str]:
    """How another tool is called, as this one was: as a file beside it, or by `skyline`."""
    return [Parser.launcher, tool] if Parser.launcher else [str(Path(sys.argv[0]).with_name(f'{tool}.py'))]


def _let_the_first_process_speak() -> None:
    if rank() > 0:
        time.sleep(OTHER_PROCESS_WAITS_S)


def _leave(tool: str, message: str, code: int) -> NoReturn:
    _let_the_first_process_speak()
    if code == 1:
        sys.exit(f'{tool}: {message}')  # prints it
    print(f'{tool}: {message}', file=sys.stderr)
    sys.exit(code)


def message_to_user(error: BaseException) -> str | None:
    """What an error says to the user, None if it is a fault of the program.

    The user's are files and values that the program has refused, arguments of a config that a class refuses, and
    what does not fit into memory. What a loader process raised comes without its traceback.
    """
    if isinstance(error, USER_ERRORS) or type(error).__name__ == 'OutOfMemoryError':
        text = re.sub(r'^\[Errno \d+\] ', '', str(error)) or type(error).__name__
        if text.startswith('Caught ') and 'Original Traceback' in text:
            text = re.split(rf'\n(?:[\w.]+\.)?{type(error).__name__}: ', text)[-1]
        if isinstance(error, MemoryError) or type(error).__name__ == 'OutOfMemoryError':
            text = f'out of memory; try smaller batches or images. {text}'
        return text.strip()
    if isinstance(error, ARGUMENT_ERRORS) and (frames := _frames_of_refused_argument(error)):
        refuser = frames[0][0].f_locals.get('self')
        name = '' if refuser is None else f'{type(refuser).__name__}: '
        frame, line_number = frames[-1]
        text = ' '.join(map(str, error.args)) or linecache.getline(frame.f_code.co_filename, line_number).strip()
        return f'the config is not accepted: {name}{text.split(". Please check")[0]} ({type(error).__name__})'
    return None


def _frames_of_refused_argument(error: BaseException) -> list[tuple[FrameType, int]]:
    """Frames and lines from where something built from a config refused its arguments; [] if nothing did.

    That is mmengine's builder, or a constructor below it with its helpers, as `_init_inputs` of mmseg's heads.
    """
    frames = list(traceback.walk_tb(error.__traceback__))
    builders = [
        index for index, (frame, _) in enumerate(frames) if Path(frame.f_code.co_filename).as_posix().endswith(BUILDER)
    ]
    below = frames[builders[-1] + 1 :] if builders else []
    if not all(frame.f_code.co_name.startswith(CONSTRUCTORS) for frame, _ in below):
        return []
    return below or [frames[index] for index in builders[-1:]]


class ConfigOptions(argparse.Action):
    """mmengine's `--cfg-options KEY=VALUE …`, which refuses what is not of that form."""

    def __call__(self, parser: Any, namespace: Any, values: Any, option_string: str | None = None) -> None:
        for text in values or ():
            key, is_assignment, _ = text.partition('=')
            if not is_assignment or not key.strip() or not all(key.split('.')):
                parser.error(f'{option_string} {text}: expected KEY=VALUE, e.g. train_dataloader.batch_size=8')
        from mmengine.config import DictAction  # only now: `--help` does without

        action = DictAction(self.option_strings, self.dest, self.nargs)
        action._parse_iterable = _option_value
        try:
            action(parser, namespace, values, option_string)
        except AssertionError as error:
            parser.error(f'{option_string}: {error}')
        except RecursionError:  # of mmengine, at what is neither a list nor a value
            parser.error(
                f'{option_string}: expected lists and dicts as Python writes them, with quotes around names, '
                "e.g. \"param_scheduler=[{'type': 'LinearLR', 'end': 100}]\""
            )


def _option_value(text: str) -> Any:
    """A list or dict as Python writes it; else as mmengine, which takes the blanks out of names of files as well."""
    from mmengine.config import DictAction

    if text.startswith(('(', '[', '{')):
        with suppress(ValueError, SyntaxError):
            return ast.literal_eval(text)
    if ',' in text or text.strip('\'"').startswith(('(', '[')):
        return DictAction._parse_iterable(text)
    return DictAction._parse_int_float_bool(text.strip('\'"'))


def whole_number(at_least: int = 1) -> Callable[[str], int]:
    """A type of argparse: a whole number that is not smaller."""

    def read(text: str) -> int:
        if not re.fullmatch(r'[+-]?\d+', text) or int(text) < at_least:
            raise argparse.ArgumentTypeError(f'{text!r}: expected a whole number, {at_least} or more')
        return int(text)

    return read


def number(
    at_least: float = -math.inf, at_most: float = math.inf, above: float = -math.inf, below: float = math.inf
) -> Callable[[str], float]:
    """A type of argparse: a finite number within limits."""
    limits = [
        f'{name} {limit:g}'
        for name, limit in (('at least', at_least), ('above', above), ('at most', at_most), ('below', below))
        if math.isfinite(limit)
    ]

    def read(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not (at_least <= value <= at_most and above < value < below):
            raise argparse.ArgumentTypeError(f'{text!r}: expected a number {" and ".join(limits)}'.rstrip())
        return value

    return read


def image_size(text: str) -> tuple[int, int]:
    """A type of argparse: height and width in pixels, such as 512x1024."""
    match = re.fullmatch(r'(\d+)x(\d+)', text)
    if match is None or not int(match[1]) or not int(match[2]):
        raise argparse.ArgumentTypeError(f'{text!r}: expected HEIGHTxWIDTH, e.g. 800x1280')
    return int(match[1]), int(match[2])


def folder_to_write(text: str) -> Path:
    """A type of argparse: a folder that exists or can be made, and can be written to."""
    path = Path(text).expanduser()
    if path.exists() and not path.is_dir():
        raise argparse.ArgumentTypeError(f'{text} is a file; expected a folder to write to')
    there = next(parent for parent in (path, *path.absolute().parents) if parent.exists())
    if not there.is_dir():
        raise argparse.ArgumentTypeError(f'{text} cannot be made: {there} is a file')
    if not os.access(there, os.W_OK | os.X_OK):
        raise argparse.ArgumentTypeError(f'{there} cannot be written to; choose another place than {text}')
    return path


def file_to_write(text: str) -> Path:
    """A type of argparse: a file whose folder exists or can be made, and can be written to."""
    path = Path(text).expanduser()
    if path.is_dir():
        raise argparse.ArgumentTypeError(f'{text} is a folder; expected a file to write')
    folder_to_write(str(path.parent))
    return path
