"""The schedule of SegFormer (arXiv 2105.15203): `adamw_160k.py`, in which the head learns ten times as fast."""

_base_ = './adamw_160k.py'

optim_wrapper = dict(paramwise_cfg=dict(custom_keys=dict(decode_head=dict(lr_mult=10.0))))
