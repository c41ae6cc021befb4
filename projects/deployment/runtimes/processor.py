"""What this machine's processor is, and whether its kernels of 8 bits sum exactly."""

import platform
from functools import cache
from pathlib import Path

EXACT = ('avx512_vnni', 'avx_vnni', 'amx_int8')  # sum products of 8 bits in 32


def processor_name() -> str:
    """Return the processor's name as the system gives it."""
    return _field('model name', 'Model') or platform.processor() or platform.machine()


@cache
def instructions() -> tuple[str, ...]:
    """Those that Linux lists; empty on other systems."""
    return tuple(_field('flags', 'Features').split())


def exact_weight_bits() -> int:
    """Bits of weights up to which this processor's kernels sum products with inputs of 8 bits exactly: 8, or 7.

    Without VNNI the kernels of x86 processors add products of two neighbours in 16 bits (`vpmaddubsw`) and let the sum
    saturate: 2 * 255 * 127 is beyond 2 ** 15, and 2 * 255 * 63 is not.
    """
    return 7 if 'avx2' in instructions() and not set(EXACT) & set(instructions()) else 8


def _field(*names: str) -> str:
    """The first of some fields that Linux tells of the processor; empty on other systems."""
    path = Path('/proc/cpuinfo')
    lines = path.read_text(encoding='utf-8').splitlines() if path.is_file() else []
    fields = {key.strip(): value.strip() for key, _, value in (line.partition(':') for line in lines)}
    return next((fields[name] for name in names if fields.get(name)), '')
