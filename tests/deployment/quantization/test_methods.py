from pathlib import Path

import projects.deployment.quantization as room
from projects.command_line import DEFAULT_QUANTIZER, NNCF, QUANTIZERS
from projects.deployment.quantization.methods import METHODS


def test_the_command_line_offers_every_method():
    assert (*METHODS, NNCF) == QUANTIZERS
    assert DEFAULT_QUANTIZER in METHODS
    assert all(method.name == name for name, method in METHODS.items())


def test_the_page_describes_every_method():
    page = (Path(room.__file__).parent / 'README.md').read_text()
    for name, method in METHODS.items():
        assert f'| `{name}` |' in page
        assert method.paper in page
