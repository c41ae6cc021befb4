"""What an operator that is not there says when it is called."""

from collections.abc import Callable
from typing import Any, NoReturn


def missing(name: str) -> Callable[..., NoReturn]:
    """What stands for an operator that is not there."""

    def raise_error(*args: Any, **kwargs: Any) -> NoReturn:
        raise NotImplementedError(
            f'mmcv operator {name} is missing: the table in projects/openmmlab_compat/README.md lists those that run '
            'without compilation. Install a compiled mmcv 2.1.0, about 13 minutes on 2 cores: '
            "pip install 'setuptools<80' && pip uninstall -y mmcv-lite && "
            'pip install --no-build-isolation mmcv==2.1.0'
        )

    return raise_error
