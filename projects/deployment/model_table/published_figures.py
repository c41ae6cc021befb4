"""The figures that a config says were published, and how far ours are from them."""

import ast
from dataclasses import dataclass, fields
from decimal import Decimal, InvalidOperation
from pathlib import Path

MAX_PARAMS_DEVIATION = 0.01
MAX_MACS_DEVIATION = 0.04


@dataclass(frozen=True)
class PublishedFigures:
    """What a leaf config's variable `published` may hold: only what was published, for the same task and image size.

    Parameters and MACs are strings with the digits that were printed, `'29.0'` or `'0.7'`: by them we know how exact
    they are.

    Attributes:
        backbone_params_m: Parameters of the backbone, without a classifier, in millions.
        params_m: Parameters of the whole model, in millions.
        backbone_macs_g: Multiply-adds of the backbone, in thousand millions; papers often say FLOPs.
        macs_g: Multiply-adds of the whole model, in thousand millions.
        macs_with_attention: False if these were counted without the matrix products of attention.
        box_ap: Box AP, in percent.
        mask_ap: Mask AP, in percent.
        miou: Mean IoU, in percent.
    """

    backbone_params_m: str | None = None
    params_m: str | None = None
    backbone_macs_g: str | None = None
    macs_g: str | None = None
    macs_with_attention: bool = True
    box_ap: float | None = None
    mask_ap: float | None = None
    miou: float | None = None

    @classmethod
    def read(cls, path: Path) -> 'PublishedFigures':
        """Read the variable `published` of a config file, an empty one if there is none.

        It is read from the file's own text: what was published for a config does not hold for those that inherit from
        it.

        Args:
            path: A config file.

        Raises:
            FileNotFoundError: If there is no such file.
            ValueError: If it is not Python, `published` is not `dict(...)` of literals, or a key or value is not as
                described above.
        """
        try:
            statements = ast.parse(path.read_text(encoding='utf-8')).body
        except SyntaxError as error:
            raise ValueError(f'{path} is not valid Python: {error}') from error
        values = [
            statement.value
            for statement in statements
            if isinstance(statement, ast.Assign) and ast.unparse(statement.targets[0]) == 'published'
        ]
        if not values:
            return cls()
        try:
            if not isinstance(values[-1], ast.Call) or ast.unparse(values[-1].func) != 'dict' or values[-1].args:
                raise ValueError(ast.unparse(values[-1]))
            given = {str(keyword.arg): ast.literal_eval(keyword.value) for keyword in values[-1].keywords}
        except ValueError as error:
            raise ValueError(
                f"{path}: expected `published = dict(params_m='16.7', miou=46.0)` with literal values, got {error}."
            ) from error
        accepted = {field.name: field.type for field in fields(cls)}
        for key, value in given.items():
            if key not in accepted:
                raise ValueError(f'{path}: `published` has an unknown key {key!r}; accepted are {", ".join(accepted)}.')
            if accepted[key] == str | None:
                _check_printed(path, key, value)
            elif accepted[key] is bool and not isinstance(value, bool):
                raise ValueError(f'{path}: {key} of `published` must be True or False, got {value!r}.')
            elif accepted[key] == float | None and (type(value) not in (int, float) or not 0 <= value <= 100):
                raise ValueError(f'{path}: {key} of `published` must be a number of percent, got {value!r}.')
        return cls(**given)


def _check_printed(path: Path, key: str, value: object) -> None:
    try:
        valid = isinstance(value, str) and Decimal(value).is_finite() and Decimal(value) > 0
    except InvalidOperation:
        valid = False
    if not valid:
        raise ValueError(
            f"{path}: {key} of `published` must be a string with the digits as printed, such as '29.0', got {value!r}."
        )


def deviates(measured: float, printed: str, tolerance: float) -> bool:
    """Whether a figure differs from a published one by more than a share of it, rounding aside.

    The published one may have been anything that rounds to it: '0.7' stands for 0.65 to 0.75, and '25' for 24.5 to
    25.5. What counts is the distance to that interval.

    Args:
        measured: Our figure, in the unit of the published one.
        printed: The published figure, with its digits.
        tolerance: Accepted share of the published figure.
    """
    published = Decimal(printed)
    half_unit = 0.5 * 10.0 ** int(published.as_tuple().exponent)
    return abs(measured - float(published)) - half_unit > tolerance * float(published)
