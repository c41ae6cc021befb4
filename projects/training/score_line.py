"""Scores in one line that a person can read."""

# What COCOeval's summary holds, in its order, by the names that mmdet gives them.
SUMMARY = ('mAP', 'mAP_50', 'mAP_75', 'mAP_s', 'mAP_m', 'mAP_l')
TITLES = {'bbox': 'box', 'segm': 'mask'}


def describe_scores(scores: dict[str, float]) -> str:
    """One line, e.g. 'box AP 39.0 (AP50 61.2, AP75 41.9, APs 22.1, APm 42.0, APl 52.7)' or 'mIoU 46.0 (mAcc 57.2, …)'.

    Args:
        scores: Of `CocoScores`, with or without the prefix 'coco/', of mmseg's IoUMetric, in percent, or of
            `HeightClassScores`.
    """
    scores = {name.removeprefix('coco/'): value for name, value in scores.items()}
    parts = []
    for kind, title in TITLES.items():
        if f'{kind}_mAP' not in scores:
            continue
        values = ['–' if scores[f'{kind}_{name}'] < 0 else f'{100 * scores[f"{kind}_{name}"]:.1f}' for name in SUMMARY]
        details = ', '.join(
            f'AP{name} {value}' for name, value in zip(('50', '75', 's', 'm', 'l'), values[1:], strict=True)
        )
        parts.append(f'{title} AP {values[0]} ({details})')
    if 'building/f1' in scores:
        names = [name.split('/')[1] for name in scores if name.startswith('building/') and name.endswith('/f1')]
        classes = ', '.join(f'{name} {scores[f"building/{name}/f1"]:.1f}' for name in names if name != 'f1')
        parts.append(
            f'building F1 {scores["building/f1"]:.1f} (IoU {scores["building/iou"]:.1f}, objects '
            f'{scores["building/object_f1"]:.1f}{"; " + classes if classes else ""})'
        )
    if 'mAcc' in scores:
        parts.append(f'mIoU {scores["mIoU"]:.1f} (mAcc {scores["mAcc"]:.1f}, pixel accuracy {scores["aAcc"]:.1f})')
    return ' · '.join(parts)
