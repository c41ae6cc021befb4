"""The sample study along three axes: how steep the source is seen, how many clean tiles there are, how fine a pixel is.

    tools/transfer_study.py configs/buildings/study_axes.py --work-dir work_dirs/study_sample

In the folder of the sample study its runs are taken as they are; what is new is trained, with the options that its
trials have chosen. A pixel is 1.2, 0.6 or 0.3 m, as in the paper; tiles show the same ground, crops have as many
pixels.
"""

_base_ = './study_sample.py'

title = 'SDA, KD and DML on off-nadir scenes: the sample study and its axes'
axes = dict(
    clean=dict(
        title='clean target tiles',
        log=True,
        changes=('target',),
        methods=('student_long', 'mixed', 'kd', 'dml', 'sda'),
        points=[(number, {'target_tiles': number}) for number in (4, 16, 64)],
        replicates=3,
    ),
    angle=dict(
        title='off-nadir angle of the source',
        unit='°',
        changes=('source',),
        methods=('teacher', 'mixed', 'kd', 'sda'),
        points=[(angle, {'data.domains.source.off_nadir_deg': (angle, angle)}) for angle in (0, 10, 20, 30, 40)],
        replicates=3,
    ),
    gsd=dict(
        title='ground sample distance',
        unit='m',
        log=True,
        changes=('source', 'target', 'test'),
        methods=('student_long', 'kd', 'sda'),
        points=[
            (gsd_m, {'data.gsd_m': gsd_m, 'data.tile_px': tile_px})
            for gsd_m, tile_px in ((0.3, 512), (0.6, 256), (1.2, 128))
        ],
        replicates=3,
    ),
)
