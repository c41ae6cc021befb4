"""What runs models; a session of any runtime is called with arrays and returns arrays by name."""

OPENED_BY = {  # suffixes of what each of `RUNTIMES` opens
    'eager': ('.py',),
    'compile': ('.py',),
    'onnxruntime': ('.onnx',),
    'openvino': ('.xml', '.onnx'),
}
BY_SUFFIX = {'.py': 'eager', '.onnx': 'onnxruntime', '.xml': 'openvino'}  # where none is named
