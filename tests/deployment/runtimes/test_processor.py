"""Which weights a processor's kernels of 8 bits sum exactly."""

import platform

import pytest

from projects.deployment.export.settings import ExportSettings
from projects.deployment.runtimes import processor


@pytest.mark.parametrize(
    ('instructions', 'bits'),
    [
        ('sse avx avx2 fma', 7),  # 2 * 255 * 127 = 64770 is beyond 16 bits with a sign, 2 * 255 * 63 = 32130 is not
        ('avx2 avx512f avx512bw', 7),
        ('avx2 avx_vnni', 8),
        ('avx2 avx512f avx512_vnni', 8),
        ('avx2 avx512f amx_int8', 8),
        ('fp asimd', 8),
        ('', 8),  # not known
    ],
)
def test_bits_of_weights(monkeypatch, instructions, bits):
    monkeypatch.setattr(processor, 'instructions', lambda: tuple(instructions.split()))
    assert processor.exact_weight_bits() == bits


def test_this_processor_is_read():
    every = {'x86_64': 'sse2', 'aarch64': 'asimd'}.get(platform.machine())  # that all of the kind have
    if platform.system() != 'Linux' or every is None:
        pytest.skip('only Linux on x86_64 and aarch64 lists instructions that are known here')
    assert every in processor.instructions()
    assert len(processor.processor_name()) > 2


def test_bits_of_weights_are_of_int8_alone():
    other = {7: 8, 8: 7}[processor.exact_weight_bits()]
    assert ExportSettings(precision='int8', weight_bits=other).quantization().weight_bits == other
    with pytest.raises(ValueError, match='--weight-bits is for --precision int8, not fp32'):
        ExportSettings(weight_bits=other)
