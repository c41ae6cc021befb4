"""What users do is told to nobody."""

import importlib
import sys

import pytest

from tests.processes import call_in_clean_processes


def import_runtimes():
    importlib.import_module('projects.deployment.runtimes.openvino_session')
    importlib.import_module('projects.deployment.export.quantization')
    for name in ('openvino', 'nncf', 'openvino.tools.ovc.convert_impl', 'nncf.telemetry.wrapper'):
        assert importlib.import_module(name)
    assert sys.modules['openvino.tools.ovc.convert_impl'].tm.__name__ == 'openvino.tools.ovc.telemetry_stub'
    assert not hasattr(sys.modules['nncf.telemetry.wrapper'], 'Telemetry')
    with pytest.raises(ImportError):
        importlib.import_module('openvino_telemetry')


def test_openvino_and_nncf_report_nothing():
    call_in_clean_processes(import_runtimes, ())
