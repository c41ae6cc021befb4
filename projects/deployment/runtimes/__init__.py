"""What runs models, and in which numbers; a session of any runtime is called with arrays and returns arrays by name.

The names are here, which command lines can read without PyTorch.
"""

OPENED_BY = {  # suffixes of what each runtime opens
    'eager': ('.py',),
    'compile': ('.py',),
    'onnxruntime': ('.onnx',),
    'openvino': ('.xml', '.onnx'),
}
RUNTIMES = tuple(OPENED_BY)
BY_SUFFIX = {'.py': 'eager', '.onnx': 'onnxruntime', '.xml': 'openvino'}  # where none is named
TORCH_RUNTIMES = ('eager', 'traced', 'compile', 'cudagraphs')  # of a benchmark, which times them besides the others
TIMED_RUNTIMES = (*TORCH_RUNTIMES, 'onnxruntime', 'openvino')
PRECISIONS = ('fp32', 'bf16', 'fp16')  # to compute in
EXPORTED_PRECISIONS = ('fp32', 'fp16', 'bf16', 'int8')  # of files
