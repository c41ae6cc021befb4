"""Installed packages by `importlib.metadata`, for names such as `_base_ = 'mmdet::_base_/default_runtime.py'`.

mmengine looks them up with `pkg_resources`, which setuptools has dropped with version 81. The functions here have the
names and the meaning of those of `mmengine.utils.package_utils` and take their places.
"""

from contextlib import suppress
from importlib.metadata import PackageNotFoundError, distribution
from importlib.util import find_spec
from pathlib import Path

import mmengine.config.config
import mmengine.hub.hub
import mmengine.utils.package_utils


def is_installed(package: str) -> bool:
    """Whether there is a distribution of this name, or else a module that is no namespace package."""
    try:
        distribution(package)
    except PackageNotFoundError:
        spec = find_spec(package)
        return spec is not None and spec.origin is not None
    return True


def package2module(package: str) -> str:
    """The first module that the distribution `package` installs, for instance mmseg for mmsegmentation.

    Raises:
        PackageNotFoundError: there is no such distribution.
        ValueError: it does not say.
    """
    modules = (distribution(package).read_text('top_level.txt') or '').split()
    if not modules:
        raise ValueError(f'The metadata of {package} names no module; give the name of the module instead.')
    return modules[0]


def get_installed_path(package: str) -> str:
    """The folder of a package, named by its distribution or module.

    Raises:
        PackageNotFoundError: it is not installed.
        RuntimeError: it has no folder of its own, as namespace packages do not.
    """
    names, folders = [package], []
    with suppress(PackageNotFoundError, ValueError):
        names.append(package2module(package))
        folders = [Path(str(distribution(package).locate_file(name))) for name in names]
    for folder in folders:
        if folder.is_dir():
            return str(folder)
    specs = [spec for name in names if (spec := find_spec(name)) is not None]  # of an editable install, or on the path
    if not specs:
        raise PackageNotFoundError(package)
    if specs[0].origin is None:
        raise RuntimeError(f'{package} is a namespace package, which has no folder of its own.')
    return str(Path(specs[0].origin).parent)


def install() -> None:
    """Let mmengine use these functions wherever it has imported its own."""
    users = (mmengine.utils.package_utils, mmengine.utils, mmengine.config.config, mmengine.hub.hub)
    for function in (is_installed, package2module, get_installed_path):
        for module in users:
            if hasattr(module, function.__name__):
                setattr(module, function.__name__, function)
