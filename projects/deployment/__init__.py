"""What any trained model needs on its way to use.

Packages that work with models of OpenMMLab import `openmmlab_compat`; what runs exported files does without PyTorch.
"""

import sys

# OpenVINO and NNCF tell Google Analytics of every import and conversion, unasked, by processes that wait for a network;
# of what cannot be imported, they do without
sys.modules.setdefault('openvino_telemetry', None)  # type: ignore[arg-type]
