"""Token mixers side by side: what they cost against the number of tokens, and what they learn in one pyramid."""

import projects.openmmlab_compat  # noqa: F401 (before mmcv)
