"""Makes the released OpenMMLab wheels run on today's PyTorch; import it before anything of mmcv, mmdet or mmseg.

The last releases (mmengine 0.10.7, mmcv 2.1.0, mmdet 3.3.0, mmsegmentation 1.2.2) predate four things. mmcv wants
operators compiled for one version of PyTorch, for which there are no wheels any more: `ops` lets torchvision's kernels
and plain PyTorch answer. `torch.load` refuses pickled objects since PyTorch 2.6, which the checkpoints of mmengine
contain: `checkpoints` permits the few harmless ones and keeps refusing the rest. setuptools has dropped
`pkg_resources`, with which mmengine finds configs by the names of packages: `packages` finds them without. Two modules
of mmdet fail whatever is given to them: `upstream_faults` mends them.

Importing this package puts all of it in place. Configs do so through `custom_imports`; so does every package of
`projects` with a module that imports one of them, or that module.
"""

from . import checkpoints, ops, packages, upstream_faults

for _part in (ops, checkpoints, packages, upstream_faults):
    _part.install()
