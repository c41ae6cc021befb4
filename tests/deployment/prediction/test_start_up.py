"""What runs exported files begins without the libraries that train."""

import subprocess
import sys

IMPORTED = """
import sys
import projects.deployment.prediction.command
import projects.deployment.runtimes.{session}
print(*sorted({{'torch', 'mmcv', 'mmdet', 'mmseg', 'sklearn', 'pandas'}} & {{*sys.modules}}))
"""


def test_exported_files_are_predicted_without_pytorch():
    for session in ('openvino_session', 'onnxruntime_session'):
        script = IMPORTED.format(session=session)
        done = subprocess.run([sys.executable, '-c', script], capture_output=True, text=True, check=True)
        assert done.stdout.split() == [], session
