"""Quantisers on real weights and real images: EfficientNet-Lite0 of ImageNet under a U-Net, trained on drone tiles.

    tools/prepare_data.py geotiles … --out data/mine
    tools/train.py configs/buildings/efficientnet_lite0_unet_drone.py
    tools/quantization_study.py configs/quantization/lite0_drone_tiles.py

So few tiles are not images enough to tell quantisers apart: what it says is how much a trained network loses.
"""

title = 'Quantisers on EfficientNet-Lite0 with U-Net, on drone tiles'
networks = dict(
    lite0=dict(
        title='EfficientNet-Lite0 (ImageNet), U-Net, 256x256',
        config='configs/buildings/efficientnet_lite0_unet_drone.py',
        checkpoints=['work_dirs/efficientnet_lite0_unet_drone/iter_300.pth'],
    ),
)
methods = dict(nncf=dict(), minmax=dict(), mse=dict(), easyquant=dict(), qhyvit=dict())
bits = (8, 6)
seeds = (0,)
calibration_sets = 2
calibration_images = 10
test_images = 8
