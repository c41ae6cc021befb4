"""Quantisers on four hybrids of convolution and attention, small, trained for minutes on generated images.

    tools/quantization_study.py configs/quantization/hybrids_sample.py

A detector of two stages and three segmentors: SHViT with Mask R-CNN at 160 px, EfficientViT-MIT with its own head at
128x256, MobileViT and Mobile-Former with Semantic FPN at 128x160. Test images are newly drawn; those to calibrate with
are training images. Networks that were trained for minutes on generated images rank quantisers, they do not predict
what these do on COCO.
"""

title = 'Quantisers on small hybrids, on generated images'
networks = dict(
    shvit_maskrcnn=dict(title='SHViT-S1, Mask R-CNN, 160x160', config='configs/shvit_s1_maskrcnn_coco.py'),
    efficientvit_mit=dict(
        title='EfficientViT-MIT B0 with its head, 128x256', config='configs/efficientvit_mit_b0_seg_cityscapes.py'
    ),
    mobilevit=dict(
        title='MobileViT-XXS, Semantic FPN, 128x160',
        config='configs/mobilevit_s_fpn_ade20k.py',
        options={'model.backbone.arch': 'mobilevit_xxs'},
    ),
    mobile_former=dict(
        title='Mobile-Former-26M, Semantic FPN, 128x160',
        config='configs/mobile_former_294m_fpn_ade20k.py',
        options={'model.backbone.arch': '26m', 'model.backbone.out_indices': (0, 1, 2, 3)},
    ),
)
both = ('executable', 'paper')  # what kernels run, and what was published, in simulation
methods = dict(
    nncf=dict(),
    minmax=dict(),
    mse=dict(),
    easyquant=dict(),
    ptq4vit=dict(forms=both),
    fqvit=dict(forms=both),
    repqvit=dict(forms=both),
    qhyvit=dict(forms=both),
    trio=dict(networks=('efficientvit_mit',)),
)
del both
bits = (8, 6, 4)
seeds = (0, 1, 2)
baselines = ('nncf', 'minmax', 'easyquant')
calibration_sets = 3
calibration_images = 32
test_images = 256
draws = 200
sample = True
num_processes = 1
