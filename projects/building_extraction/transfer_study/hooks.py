"""What the kept configs of earlier runs import and name, from when a study recorded its curves by a hook of its own."""

from mmengine.registry import HOOKS

from projects.training.hooks import RecordScores

from .plan import CURVES


@HOOKS.register_module('RecordCurve')
def record_curve() -> RecordScores:
    """Build the hook that such a config calls `RecordCurve`."""
    return RecordScores(CURVES)
