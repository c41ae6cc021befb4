"""Images and building masks in two folders, as WHU, Massachusetts, Inria and LoveDA have them."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmengine.fileio import list_dir_or_file
from mmengine.registry import DATASETS
from mmseg.datasets import BaseSegDataset

from projects.training.segmentation_datasets import CheckedSegmentationDataset

from .mask_survey import check_masks
from .mask_values import MaskValues, Value

IMAGE_SUFFIXES = ('.png', '.tif', '.tiff', '.jpg', '.jpeg')
Key = tuple[str, ...]


class NamedPairs(BaseSegDataset):
    """Pairs of files whose names agree.

    Args:
        image_name: Path of an image below `img_path`, without suffix; each `{}` stands for any text.
        mask_name: Path of its mask below `seg_map_path`, with the same number of `{}`. An image and a mask belong
            together if the texts agree.
        img_suffix: What images may end in.
        seg_map_suffix: What masks may end in.
        ann_file: A text file that lists the images to use, one on each line: its texts, joined by '/'. By default all.
        **kwargs: Of mmseg's `BaseSegDataset`.
    """

    def __init__(
        self,
        *args: Any,
        image_name: str = '{}',
        mask_name: str = '{}',
        img_suffix: Sequence[str] = IMAGE_SUFFIXES,
        seg_map_suffix: Sequence[str] = IMAGE_SUFFIXES,
        **kwargs: Any,
    ) -> None:
        if not image_name.count('{}') == mask_name.count('{}') > 0:
            raise ValueError(
                f'image_name={image_name!r} and mask_name={mask_name!r} must hold {{}} equally often, at least once'
            )
        self.image_name, self.mask_name = image_name, mask_name
        super().__init__(*args, img_suffix=tuple(img_suffix), seg_map_suffix=tuple(seg_map_suffix), **kwargs)

    def load_data_list(self) -> list[dict]:
        images = _files_by_key(self.data_prefix['img_path'], self.img_suffix, self.image_name)
        masks = _files_by_key(self.data_prefix['seg_map_path'], self.seg_map_suffix, self.mask_name)
        for key in sorted(images.keys() - masks.keys()):
            masks[key] = Path(self.data_prefix['seg_map_path'], f'{self.mask_name.format(*key)}.*')  # does not exist
        fixed = {'label_map': self.label_map, 'reduce_zero_label': self.reduce_zero_label}
        return [
            {'img_path': str(images[key]), 'seg_map_path': str(masks[key]), 'seg_fields': [], **fixed}
            for key in self._wanted(images)
        ]

    def _wanted(self, images: dict[Key, Path]) -> list[Key]:
        if not self.ann_file:
            return sorted(images)
        names = [line.strip() for line in Path(self.ann_file).read_text(encoding='utf-8').splitlines() if line.strip()]
        keys = {'/'.join(key): key for key in images}
        absent = [name for name in names if name not in keys]
        if absent:
            raise FileNotFoundError(
                f'{self.ann_file} lists {len(absent)} images that {self.data_prefix["img_path"]} does not have: '
                f'{absent[:5]}. Expected are names such as {sorted(keys)[:3]}'
            )
        return [keys[name] for name in names]


def _files_by_key(folder: str, suffixes: tuple[str, ...], pattern: str) -> dict[Key, Path]:
    """Files below a folder whose path without suffix fits a pattern, by what stands for its `{}`."""
    expression = re.compile('(.+)'.join(re.escape(text) for text in pattern.split('{}')))
    files: dict[Key, Path] = {}
    for name in list_dir_or_file(folder, list_dir=False, suffix=suffixes, recursive=True):
        match = expression.fullmatch(str(Path(name).with_suffix('')))
        if match is None:
            continue
        if other := files.get(match.groups()):
            raise ValueError(
                f'{other} and {Path(folder, name)} have the same name: remove one, or choose by img_suffix and '
                'seg_map_suffix in the config of the data set'
            )
        files[match.groups()] = Path(folder, name)
    if not files:
        raise FileNotFoundError(
            f'No file that ends in {", ".join(suffixes)} and is named {pattern} below {Path(folder).absolute()}; '
            'data/README.md shows the layout'
        )
    return files


@DATASETS.register_module()
class BuildingMaskDataset(CheckedSegmentationDataset, NamedPairs):
    """Images with building masks whose values the config states; see `MaskValues` and `NamedPairs`.

    Before anything is trained, masks spread over the set are read: the share of building is logged, masks that look
    inverted are warned of, and a set of which too many masks hold unknown values is refused.

    Args:
        building: Value of buildings in the masks: an integer, or a colour (R, G, B).
        background: Values of everything else.
        ignored: Values of pixels that are neither trained on nor scored.
        tolerance: How much a channel may differ from these; for masks in JPEG.
        num_surveyed: Number of masks to read at the start, at most.
        **kwargs: Of `NamedPairs` and `CheckedSegmentationDataset`.

    Raises:
        FileNotFoundError: A folder is missing or has no such files, or an image listed in `ann_file` is absent.
        ValueError: The stated values contradict one another, the masks have others, or more than
            `max_unreadable_share` of the images have no mask.
    """

    METAINFO = {'classes': ('background', 'building'), 'palette': [[0, 0, 0], [220, 20, 60]]}  # noqa: RUF012

    def __init__(
        self,
        *args: Any,
        building: Value,
        background: Sequence[Value] = (0,),
        ignored: Sequence[Value] = (),
        tolerance: int = 0,
        num_surveyed: int = 200,
        **kwargs: Any,
    ) -> None:
        self.mask_values = MaskValues(building, background, ignored, tolerance)
        self.num_surveyed = num_surveyed
        super().__init__(*args, **kwargs)

    def survey(self) -> None:
        self.label_lookup = self.mask_values  # type: ignore[assignment]
        pairs = {info['seg_map_path']: info['img_path'] for info in map(self.get_data_info, range(len(self)))}
        check_masks(pairs, self.mask_values, self.num_surveyed, self.max_unreadable_share, not self.test_mode)
