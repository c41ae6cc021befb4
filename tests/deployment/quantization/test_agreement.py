"""Each site alone: what a runtime computes as simulated passes, and one wrong kernel is named."""

import numpy as np
import pytest

from projects.deployment.export.verification import SITE_DEVIATION
from projects.deployment.quantization.agreement import site_deviations
from projects.deployment.quantization.quantize import quantize
from projects.deployment.quantization.settings import QuantizationSettings
from projects.deployment.runtimes.onnxruntime_session import OnnxRuntimeSession
from projects.deployment.runtimes.openvino_session import OpenVINOSession

from .tiny import INFO, Tiny, pictures


class Faulty:
    """A session one of whose kernels loses a part of its sums."""

    def __init__(self, session, site):
        self.session, self.site = session, site

    def __call__(self, image):
        found = dict(self.session(image))
        found[self.site] = np.where(np.arange(found[self.site].size) % 8 == 0, 0, found[self.site])
        return found


@pytest.fixture(scope='module', params=[8, 4], ids=lambda bits: f'{bits}-bits')
def quantized(request):
    return quantize(Tiny(), pictures(10), QuantizationSettings('minmax', request.param))


def in_openvino(path):
    return OpenVINOSession(path, 'fp32')


@pytest.mark.parametrize('open_session', [in_openvino, OnnxRuntimeSession])
def test_every_site_runs_as_it_was_simulated(quantized, open_session):
    found = site_deviations(quantized, INFO, pictures(1, seed=1)[0], open_session)
    assert list(found) == [site.name for site in quantized.scheme.sites]
    assert max(found.values()) < SITE_DEVIATION / 2, found


def test_a_wrong_kernel_is_named(quantized):
    site = 'backbone.qkv#0'
    found = site_deviations(quantized, INFO, pictures(1, seed=1)[0], lambda path: Faulty(in_openvino(path), site))
    assert [name for name, value in found.items() if value > SITE_DEVIATION] == [site]
