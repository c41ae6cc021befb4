"""What exported files say of themselves."""

from pathlib import Path

from ..model_info import KEY, ModelInfo

FORMATS = {'onnx': '.onnx', 'openvino': '.xml'}


def read_info(path: str | Path) -> ModelInfo:
    """The description in an exported file.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is no file of `FORMATS`, or holds no description.
    """
    path = Path(path)
    if path.suffix not in FORMATS.values():
        raise ValueError(f'{path}: expected a file that ends in {" or ".join(FORMATS.values())}')
    if not path.is_file():
        raise FileNotFoundError(f'no exported file {path}')
    if path.suffix == '.onnx':
        import onnx  # it needs the extra 'deploy'

        try:
            model = onnx.load(path, load_external_data=False)
        except Exception as error:  # protobuf's DecodeError is private
            raise ValueError(f'{path} is no ONNX file: {error}') from error
        found = {prop.key: prop.value for prop in model.metadata_props}
    else:
        from .openvino_session import read_metadata

        found = read_metadata(path)
    if KEY not in found:
        raise ValueError(f'{path} does not describe its classes and images; export it with tools/export.py')
    return ModelInfo.from_json(found[KEY])
