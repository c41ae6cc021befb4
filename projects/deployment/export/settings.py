"""What an export shall be."""

from dataclasses import dataclass, field

from projects.command_line import DEFAULT_QUANTIZER, EXPORTED_PRECISIONS, NNCF, OUTPUTS

from ..model_info import MIN_SIDE_PX
from ..qgis import QGIS
from ..quantization.settings import QuantizationSettings
from ..runtimes.descriptions import FORMATS
from ..runtimes.processor import exact_weight_bits


@dataclass(frozen=True)
class ExportSettings:
    """What to write.

    Attributes:
        format: 'onnx' or 'openvino'.
        precision: One of `EXPORTED_PRECISIONS`.
        dynamic: Leave height, width and number of images open.
        size: Height and width to fix the graph to; None: the recipe's.
        batch_size: Number of images per call to fix it to; None: 1.
        output: Of a segmentor, one of `OUTPUTS`.
        images: Files, folders or globs to verify with; empty: the config's test set.
        calibration: The same for int8, or a config (`.py`), whose training set is used; empty: that of the config.
        with_scores: Score the test set before and after.
        quantizer: How int8 is calibrated, one of `QUANTIZERS`: a method of `deployment/quantization`, or 'nncf'.
        bits: Of int8's grids: 8, or 6 or 4 for narrower ones on the same kernels.
        reconstruct: Learn the rounding of weights.
        weight_bits: Of int8, that weights have at most: 8, or 7 for processors without VNNI, too.
        made_for: 'qgis', see `deployment.qgis`; '': this project's own commands.
        gsd_m: Ground sample distance that the network expects, in metres per pixel; None: what its data say.
        license: Of the weights, by its name on the Hugging Face Hub, for the model card; '': not stated.
        max_proposals: That a two-stage detector looks at; None: as many as its recipe says.

    Raises:
        ValueError: These do not go together.
    """

    format: str = 'onnx'
    precision: str = 'fp32'
    dynamic: bool = False
    size: tuple[int, int] | None = None
    batch_size: int | None = None
    output: str = 'probabilities'
    images: tuple[str, ...] = ()
    calibration: tuple[str, ...] = ()
    with_scores: bool = False
    quantizer: str = DEFAULT_QUANTIZER
    bits: int = 8
    reconstruct: bool = False
    weight_bits: int = field(default_factory=exact_weight_bits)
    made_for: str = ''
    gsd_m: float | None = None
    license: str = ''
    max_proposals: int | None = None

    def __post_init__(self) -> None:
        if self.format not in FORMATS:
            raise ValueError(f'format {self.format!r}: expected one of {", ".join(FORMATS)}')
        if self.precision not in EXPORTED_PRECISIONS:
            raise ValueError(f'precision {self.precision!r}: expected one of {", ".join(EXPORTED_PRECISIONS)}')
        if self.format == 'onnx' and self.precision == 'bf16':
            raise ValueError('ONNX Runtime computes no bfloat16 on processors: use --format openvino, or int8')
        if self.format == 'onnx' and self.precision == 'fp16':
            raise ValueError(
                'ONNX Runtime computes fp16 on processors by converting to fp32 and back, slower than fp32: use '
                '--format openvino, or int8'
            )
        if self.output not in OUTPUTS:
            raise ValueError(f'output {self.output!r}: expected one of {", ".join(OUTPUTS)}')
        if self.dynamic and (self.size or self.batch_size):
            raise ValueError('--dynamic leaves size and batch open; leave out --size and --batch-size')
        if self.size is not None and min(self.size) < MIN_SIDE_PX:
            size = f'{self.size[0]}x{self.size[1]}'
            raise ValueError(f'--size {size}: the networks take images of at least {MIN_SIDE_PX} px')
        if self.batch_size is not None and self.batch_size < 1:
            raise ValueError(f'--batch-size {self.batch_size}: expected 1 or more')
        if self.calibration and self.precision != 'int8':
            raise ValueError(f'--calibration is for --precision int8, not {self.precision}')
        chosen = (self.quantizer, self.bits, self.reconstruct)
        if self.precision != 'int8' and chosen != (DEFAULT_QUANTIZER, 8, False):
            raise ValueError(f'--quantizer, --bits and --reconstruct are for --precision int8, not {self.precision}')
        if self.precision != 'int8' and self.weight_bits != exact_weight_bits():
            raise ValueError(f'--weight-bits is for --precision int8, not {self.precision}')
        if self.quantizer == NNCF and chosen != (NNCF, 8, False):
            raise ValueError('--quantizer nncf rounds to 8 bits alone, and learns no rounding; choose another one')
        if self.precision == 'int8' and self.quantizer != NNCF:
            self.quantization()
        if self.made_for == QGIS:
            self._check_qgis()

    def _check_qgis(self) -> None:
        given = {'--format': self.format, '--precision': self.precision, '--output': self.output}
        wanted = {'--format': 'onnx', '--precision': 'fp32', '--output': 'probabilities'}
        if unfit := [f'{option} {value}' for option, value in given.items() if value != wanted[option]]:
            raise ValueError(
                f'--for qgis writes ONNX in fp32 with probabilities, which plugins read; leave out {unfit[0]}'
            )
        if self.dynamic or self.batch_size not in (None, 1):
            raise ValueError('--for qgis: plugins give one tile of one size at once; leave out --dynamic, --batch-size')
        if self.size is not None and self.size[0] != self.size[1]:
            raise ValueError(f'--size {self.size[0]}x{self.size[1]}: tiles for QGIS are square, such as 512x512')

    def quantization(self) -> QuantizationSettings | None:
        """How to quantise; None for other precisions and for NNCF.

        ONNX Runtime has no grids per channel of activations.
        """
        if self.precision != 'int8' or self.quantizer == NNCF:
            return None
        return QuantizationSettings(
            self.quantizer,
            self.bits,
            reconstruct=self.reconstruct,
            channelwise=self.format == 'openvino',
            weight_bits=self.weight_bits,
        )
