"""Exported models on the Hugging Face Hub: up with all that describes them, and down again, checked.

A repository holds an export as `tools/export.py` writes it, its card as `README.md`. Its item of a STAC catalog,
`*.stac.json`, lists the files and their SHA-256; nothing else is fetched, and nothing is run or unpickled: models are
`.onnx`, or `.xml` and `.bin`. A checksum finds what a transfer or a cache has damaged; who wants what was there once,
whatever became of the repository since, names the commit.
"""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from .export.stac_item import MODEL_ROLE, checksum

try:
    from huggingface_hub import CommitOperationAdd, HfApi
    from huggingface_hub import errors as hub_errors
    from huggingface_hub.utils import disable_progress_bars
except ImportError as error:
    raise ImportError(f"{error}; models on the hub need the extra 'hub': pip install -e '.[hub]'") from error

SCHEME = 'hf://'
ADDRESS = re.compile(r'hf://(?P<repo>[\w.-]+/[\w.-]+)(@(?P<revision>[^/]+))?(/(?P<file>[^/]+))?')
CARD = 'README.md'
MODELS = ('.onnx', '.xml')
NEEDED = (*MODELS, '.bin')  # what is fetched; no other kind of file is opened


class Address(NamedTuple):
    """A model on the hub.

    Attributes:
        repo: USER/NAME.
        revision: Commit, branch or tag; None: the newest.
        file: Which of several models; None: the only one.
    """

    repo: str
    revision: str | None = None
    file: str | None = None

    @classmethod
    def parse(cls, text: str) -> 'Address':
        """Read `hf://USER/NAME`, `hf://USER/NAME@REVISION` or `hf://USER/NAME@REVISION/FILE`.

        Raises:
            ValueError: It is something else.
        """
        found = ADDRESS.fullmatch(text)
        if found is None:
            raise ValueError(f'{text}: expected hf://USER/NAME, hf://USER/NAME@COMMIT or hf://USER/NAME@COMMIT/FILE')
        return cls(**found.groupdict())

    def __str__(self) -> str:
        at = f'@{self.revision}' if self.revision else ''
        return f'{SCHEME}{self.repo}{at}{f"/{self.file}" if self.file else ""}'


def from_pretrained(address: str) -> Path:
    """Fetch a model from the hub, or find it in the hub's cache; with `HF_HUB_OFFLINE=1` there alone.

    Args:
        address: `hf://USER/NAME`, maybe with `@COMMIT` (or a branch or tag) and `/FILE`.

    Returns:
        The `.onnx` or `.xml` file, for `open_predictor`; its folder is named after the commit.

    Raises:
        FileNotFoundError: There is no such repository, revision or model; or no network, and it was not fetched before.
        PermissionError: The repository is private or gated, and no token is known that may read it.
        ValueError: The address is none, the repository holds no such export, or a file is not the one that was pushed.

    Example:
        >>> from_pretrained('hf://USER/NAME@0123456789abcdef0123456789abcdef01234567')  # doctest: +SKIP
    """
    wanted = Address.parse(address)
    disable_progress_bars()  # of the hub, beside ours
    with _told(wanted):
        listed = ['*.stac.json']
        folder = Path(HfApi().snapshot_download(wanted.repo, revision=wanted.revision, allow_patterns=listed))
        names = _files(_chosen(folder, wanted), wanted)
        for name in names:
            HfApi().hf_hub_download(wanted.repo, name, revision=folder.name)  # the commit, whatever is pushed meanwhile
    for name, expected in names.items():
        if (found := checksum(folder / name)) != expected:
            raise ValueError(
                f'{wanted}: {name} has the SHA-256 {found[4:16]}…, its description says {expected[4:16]}…; remove '
                f'{(folder / name).resolve()} and fetch it again, or ask who pushed it'
            )
    (model,) = [folder / name for name in names if Path(name).suffix in MODELS]
    return model


def push_to_hub(path: str | Path, repo: str) -> str:
    """Push an export, with all that `tools/export.py` has written beside it, in one commit.

    A repository is made if there is none, a public one. The token is that of `hf auth login` or of `HF_TOKEN`.

    Args:
        path: The `.onnx` or `.xml` file.
        repo: USER/NAME.

    Returns:
        The address of what was pushed, with its commit.

    Raises:
        FileNotFoundError: Something that belongs to the export is not there; or there is no network.
        PermissionError: No token is known that may write there.
        ValueError: A file is not the one that was exported.
    """
    path = Path(path)
    described = path.with_name(f'{path.name}.stac.json')
    wanted = Address.parse(f'{SCHEME}{repo}')
    if not described.is_file():
        raise FileNotFoundError(f'no {described}, which tools/export.py writes beside a model; export it again')
    item = json.loads(described.read_text(encoding='utf-8'))
    files = {described.name: described}
    for asset in item['assets'].values():
        file = described.with_name(Path(asset['href']).name)
        if not file.is_file():
            raise FileNotFoundError(f'no {file}, which belongs to {path.name}; export it again')
        if checksum(file) != asset['file:checksum']:
            raise ValueError(f'{file} is not what was exported beside {path.name}; export it again')
        files[file.name] = file
        if file.suffix == '.md':
            files[CARD] = file
    api = HfApi()
    disable_progress_bars()
    with _told(wanted, write=True):
        api.create_repo(wanted.repo, exist_ok=True)
        added = [CommitOperationAdd(name, file) for name, file in files.items()]
        commit = api.create_commit(wanted.repo, added, commit_message=f'Add {path.name}')
    return str(wanted._replace(revision=commit.oid))


def _chosen(folder: Path, wanted: Address) -> dict[str, Any]:
    """The description of the model that is asked for."""
    items = {}
    for file in sorted(folder.glob('*.stac.json')):
        try:
            items[file.name.removesuffix('.stac.json')] = json.loads(file.read_text(encoding='utf-8'))
        except ValueError as error:
            raise ValueError(f'{wanted}: {file.name} is no JSON: {error}') from error
    if not items:
        raise ValueError(f'{wanted} holds no model that tools/export.py --push-to-hub has put there (no *.stac.json)')
    if wanted.file is None and len(items) > 1:
        raise ValueError(f'{wanted} holds {len(items)} models; name one: {wanted._replace(file=next(iter(items)))}')
    name = wanted.file or next(iter(items))
    if name not in items:
        raise FileNotFoundError(f'{wanted}: no such model there, but {", ".join(items)}')
    return items[name]


def _files(item: dict[str, Any], wanted: Address) -> dict[str, str]:
    """Names and checksums of the model and its weights."""
    try:
        assets = [asset for asset in item['assets'].values() if {MODEL_ROLE, 'mlm:weights'} & {*asset['roles']}]
        names = {asset['href'].removeprefix('./'): asset['file:checksum'] for asset in assets}
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f'{wanted}: its *.stac.json is none that tools/export.py has written ({error!r})') from error
    foreign = [name for name in names if Path(name).name != name or Path(name).suffix not in NEEDED]
    if foreign or len([name for name in names if Path(name).suffix in MODELS]) != 1:
        listed = ', '.join(foreign or names) or 'nothing'
        raise ValueError(f'{wanted}: expected one .onnx, or one .xml and its .bin, got {listed}; nothing was opened')
    return names


@contextmanager
def _told(wanted: Address, write: bool = False) -> Iterator[None]:
    """Say in one line what the hub says in many; tokens stand in none of them."""
    try:
        yield
    except (hub_errors.GatedRepoError, hub_errors.LocalTokenNotFoundError) as error:
        raise PermissionError(_may_not(wanted, write)) from error
    except hub_errors.RevisionNotFoundError as error:
        raise FileNotFoundError(f'{wanted}: the repository has no revision {wanted.revision}') from error
    except hub_errors.RepositoryNotFoundError as error:
        if write:
            raise PermissionError(_may_not(wanted, write)) from error
        raise FileNotFoundError(
            f'{wanted}: no such repository, or a private one that the token may not read; log in by: hf auth login'
        ) from error
    except hub_errors.LocalEntryNotFoundError as error:
        if isinstance(error.__cause__, hub_errors.HfHubHTTPError):
            raise _refused(wanted, error.__cause__, write) from error
        raise FileNotFoundError(f'{wanted}: the hub cannot be reached, and the cache does not have it') from error
    except hub_errors.EntryNotFoundError as error:
        raise FileNotFoundError(f'{wanted}: a file that its description names is not there; was it removed?') from error
    except hub_errors.HfHubHTTPError as error:
        raise _refused(wanted, error, write) from error
    except hub_errors.HFValidationError as error:
        raise ValueError(f'{wanted}: {str(error).splitlines()[0]}') from error
    except Exception as error:
        if type(error).__name__ not in ('ConnectError', 'ConnectTimeout', 'ReadTimeout', 'OfflineModeIsEnabled'):
            raise
        raise FileNotFoundError(f'{wanted}: the hub cannot be reached ({type(error).__name__})') from error


def _refused(wanted: Address, error: hub_errors.HfHubHTTPError, write: bool) -> OSError:
    status = getattr(error.response, 'status_code', 'an error')
    if status in (401, 403):
        return PermissionError(_may_not(wanted, write))
    return OSError(f'{wanted}: the hub answered {status}; try again later')


def _may_not(wanted: Address, write: bool) -> str:
    what = 'written to' if write else 'read'
    return f'{wanted} may not be {what} with the token that is known, if one is; log in by: hf auth login'
