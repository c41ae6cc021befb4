"""What the loaders of every data set have in common; a data set adds batch size and pictures.

Validation and test are scored image by image, in their order.
"""

train_dataloader = dict(
    num_workers=4,
    persistent_workers=True,
    worker_init_fn=dict(type='leave_process_group'),
    sampler=dict(type='DefaultSampler', shuffle=True),
    batch_sampler=dict(type='ResumableBatchSampler'),
)
val_dataloader = dict(
    batch_size=1,
    num_workers=2,
    persistent_workers=True,
    worker_init_fn=dict(type='leave_process_group'),
    drop_last=False,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(test_mode=True),
)
test_dataloader = val_dataloader
