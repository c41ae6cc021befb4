"""RetinaNet with a plain FPN on strides 8 to 128, for backbones with levels from 4 to 32."""

_base_ = './retinanet.py'

model = dict(
    neck=dict(type='FPN', out_channels=256, start_level=1, add_extra_convs='on_input', num_outs=5),
)
