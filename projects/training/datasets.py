"""Data sets that check what they are given, survive unreadable images, and whose augmentation can be repeated."""

import logging
import os
import random
import re
from collections.abc import Collection
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from mmcv.transforms import LoadImageFromFile
from mmdet.datasets import CocoDataset
from mmengine.dist import get_world_size
from mmengine.logging import print_log
from mmengine.registry import DATASETS, FUNCTIONS, TRANSFORMS

from projects.pixels.decoding import UnreadableImageError, check_whole, read_deep_image
from projects.reporting.notices import say_once

from .annotations import IndexedAnnotations, category_ids, read_annotations
from .decoded_files import DecodedFiles
from .image_sizes import check_sizes, describe_sizes, likely_cause

MOST_COUNTED = 100  # images of a wrong size, in a set that has too many


def combine_seeds(*seeds: int) -> int:
    """One 63-bit seed from several non-negative numbers, through a hash of all of them (numpy's SeedSequence)."""
    return int(np.random.SeedSequence(seeds).generate_state(1, np.uint64)[0] >> 1)


@FUNCTIONS.register_module()
def leave_process_group(worker_id: int) -> None:
    """Keep a loader process out of the reach of Ctrl-C and SIGTERM, which go to the whole group of its parent.

    A loader process that died of them would tear down the training process before that has saved its checkpoint.
    """
    os.setpgrp()


@TRANSFORMS.register_module()
class LoadImage(LoadImageFromFile):
    """mmcv's LoadImageFromFile that recognises every truncated file, and images of more than 8 bits.

    mmcv keeps the upper 8 of 16 bits, which is black for pictures of 12 bits: here images of more than 8 bits are read
    as `pixels.decoding` says.

    Args:
        keep_mib: Decoded images that stay in memory, in MiB for each process.
        **kwargs: Of mmcv's `LoadImageFromFile`.

    Raises:
        UnreadableImageError: The file is absent, truncated, not an image, or not of the size that its annotations are
            made for; names the file and the reason.
    """

    def __init__(self, *, keep_mib: float = 0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.decoded = DecodedFiles(keep_mib)

    def transform(self, results: dict) -> dict:
        path = results['img_path']
        if (kept := self.decoded.get(path)) is not None:
            return results | {'img': kept, 'img_shape': kept.shape[:2], 'ori_shape': kept.shape[:2]}
        try:
            check_whole(path)
            said = (results['width'], results['height']) if 'height' in results else None  # of its annotations
            deep = read_deep_image(path) if self.color_type == 'color' else None
            if deep is None:
                results = super().transform(results)
            else:
                results |= {'img': deep, 'img_shape': deep.shape[:2], 'ori_shape': deep.shape[:2]}
        except (OSError, AssertionError, cv2.error) as error:
            raise UnreadableImageError(f'{path}: {" ".join(str(error).split())}') from error
        if results is None:  # as with ignore_empty=True
            return results
        decoded = results['img_shape'][::-1]
        if said not in (None, decoded):
            raise UnreadableImageError(f'{describe_sizes(path, said, decoded)}. {likely_cause(said, decoded)}')
        self.decoded.put(path, results['img'])
        return results


def image_loader(dataset: Any) -> LoadImageFromFile:
    """What loads the images of a data set: of its pipeline, else `LoadImage` as it is."""
    transforms = getattr(getattr(dataset, 'pipeline', None), 'transforms', [])
    return next((one for one in transforms if isinstance(one, LoadImageFromFile)), LoadImage())


class SurvivingDataset:
    """Mixin for mmengine data sets: goes on after an unreadable image, and makes augmentation repeatable.

    In training an unreadable image (or label map) is named in the log once and replaced by another image. In evaluation
    it is replaced by a black image and marked (`unreadable` in the sample's metainfo), so that the metric can count it
    as an image without detections. Which images are bad is known to all loader processes through shared memory.

    Args:
        max_unreadable_share: Share of unreadable images in the data set above which it is refused.
    """

    def __init__(self, *args: Any, max_unreadable_share: float = 0.05, **kwargs: Any) -> None:
        self.max_unreadable_share = max_unreadable_share
        self._position = torch.zeros(2, dtype=torch.int64).share_memory_()  # seed and epoch
        super().__init__(*args, **kwargs)
        self._seen, self._unreadable = torch.zeros(2, len(self), dtype=torch.bool).share_memory_()  # type: ignore[arg-type]

    def set_position(self, seed: int, epoch: int) -> None:
        """Let the random numbers of every sample follow from (seed, epoch, index)."""
        self._position[0], self._position[1] = seed, epoch

    def prepare_data(self, idx: int) -> Any:
        """Load and augment the sample at `idx`; None if its image is unreadable in training."""
        seed = combine_seeds(*self._position.tolist(), idx)
        random.seed(seed)
        np.random.seed(seed % 2**32)
        torch.default_generator.manual_seed(seed)
        self._seen[idx] = True
        try:
            return super().prepare_data(idx)  # type: ignore[misc]
        except UnreadableImageError as error:
            self._count_unreadable(idx, error)
            return self._black_sample(idx) if self.test_mode else None  # type: ignore[attr-defined]

    def _count_unreadable(self, idx: int, error: UnreadableImageError) -> None:
        if self._unreadable[idx]:
            return
        self._unreadable[idx] = True
        number = int(self._unreadable.sum())
        # one of several processes sees its share of the images in an epoch
        total = max(int(self._seen.sum()), len(self._seen) // get_world_size())
        # as an error, because mmengine logs nothing less on any process but the first
        print_log(f'skipped unreadable image {number} of {total}: {error}', logger='current', level=logging.ERROR)
        if number > self.max_unreadable_share * total:
            raise ValueError(
                f'{number} of {total} images are unreadable, more than the allowed share of '
                f'{self.max_unreadable_share:.0%}; the log names them, the last is {error}. {self._remedy()}'
            )

    def _remedy(self) -> str:
        loader = 'val_dataloader' if self.test_mode else 'train_dataloader'  # type: ignore[attr-defined]
        return f'Mend the data set, or allow more: --cfg-options {loader}.dataset.max_unreadable_share=SHARE'

    def _black_sample(self, idx: int) -> Any:
        info = self.get_data_info(idx)  # type: ignore[attr-defined]
        info['img'] = np.zeros((*self._image_size(info), 3), np.uint8)
        info['img_shape'] = info['ori_shape'] = info['img'].shape[:2]
        info['unreadable'] = True  # so that labels may be unreadable too
        for transform in self.pipeline.transforms:  # type: ignore[attr-defined]
            if not isinstance(transform, LoadImageFromFile):
                info = transform(info)
        samples = info['data_samples']  # several when augmented
        for sample in samples if isinstance(samples, list) else [samples]:
            sample.set_metainfo({'unreadable': True})
        return info

    def _image_size(self, info: dict[str, Any]) -> tuple[int, int]:
        """Height and width that the image should have."""
        return info['height'], info['width']


@DATASETS.register_module()
class CheckedCocoDataset(SurvivingDataset, CocoDataset):
    """mmdet's CocoDataset on annotations that are checked first; see `annotations.read_annotations`.

    Args:
        source: Where the data set can be had; quoted when it is missing.

    Raises:
        FileNotFoundError: The annotation file or the image folder is missing.
        ValueError: The file is malformed, its categories are not those of the config, more than `max_unreadable_share`
            of its images are absent or of another size than it says, or nothing is left to train on or to score.
    """

    def __init__(self, *args: Any, source: str = '', **kwargs: Any) -> None:
        self.source = source
        super().__init__(*args, **kwargs)

    def load_data_list(self) -> list[dict]:
        content, findings = read_annotations(self.ann_file, self.source, self._needs_masks(), hand_on=self.test_mode)
        self._check_categories([category['name'] for category in content['categories']])
        known = set(category_ids(content, self.metainfo['classes']))
        self.why_unused = findings.why_unused(content['annotations'], known)
        used = {annotation['category_id'] for annotation in content['annotations']}
        if self.test_mode and used and not used & known:
            raise ValueError(f'{self.ann_file} holds nothing to score. {self.why_unused}')
        self.COCOAPI = lambda path: IndexedAnnotations(content)
        data_list = super().load_data_list()
        del self.COCOAPI  # the content is not kept
        return self._without_other_sizes(self._without_absent_images(data_list))

    def _needs_masks(self) -> bool | None:
        """As `masks` of `read_annotations`."""
        return any(getattr(transform, 'with_mask', False) for transform in self.pipeline.transforms)

    def filter_data(self) -> list[dict]:
        kept = super().filter_data()
        if not self.test_mode and all(one['ignore_flag'] for info in kept for one in info['instances']):
            raise ValueError(
                f'{self.ann_file} leaves nothing to train on: {len(kept)} of {len(self.data_list)} images pass '
                f'filter_cfg={self.filter_cfg}, none with an object to learn. {self.why_unused}'
            )
        return kept

    def _check_categories(self, names: list[str]) -> None:
        classes = self.metainfo['classes']
        unknown = sorted(set(classes) - set(names))
        if unknown:
            raise ValueError(
                f'{self.ann_file} has no category named {unknown}, which the config expects; it has {sorted(names)}. '
                'Name its classes in the config: train_dataloader.dataset.metainfo.classes (and those of val and '
                'test), and their number in the heads: num_classes'
            )
        ignored = sorted(set(names) - set(classes))
        if ignored:
            print_log(f'{self.ann_file}: categories {ignored} are not in the config and are ignored', logger='current')

    def _without_absent_images(self, data_list: list[dict]) -> list[dict]:
        """Name images that do not exist; leave them out of training, keep them in evaluation (scored as missed)."""
        folder = Path(self.data_prefix['img'])
        if not folder.is_dir():
            raise FileNotFoundError(f'{self.ann_file} belongs to images in {folder.absolute()}, which is not a folder')
        present = {
            os.path.normpath(os.path.join(root, name))  # noqa: PTH118 (once per image)
            for root, _, names in os.walk(folder)
            for name in names
        }
        paths = [info['img_path'] for info in data_list if os.path.normpath(info['img_path']) not in present]
        absent = [path for path in paths if not Path(path).exists()]  # not merely elsewhere, or behind a link
        message = f'{len(absent)} of {len(data_list)} images listed in {self.ann_file} do not exist: {absent[:5]}'
        below = {os.path.basename(path): path for path in present}  # noqa: PTH119
        found = [below[name] for path in absent if (name := re.split(r'[/\\]', path)[-1]) in below]
        if found:
            message += f'. {len(found)} have the names of {found[:3]}; "file_name" must be a path below {folder}'
        return self._without(set(absent), data_list, message)

    def _without_other_sizes(self, data_list: list[dict]) -> list[dict]:
        """As `_without_absent_images`, for images whose size is not the one that the file says."""
        most = max(int(self.max_unreadable_share * len(data_list)), MOST_COUNTED)
        said = {info['img_path']: (info['width'], info['height']) for info in data_list}
        check = check_sizes([(path, *size) for path, size in said.items()], image_loader(self), most)
        if check.turned:
            say_once(
                f'{self.ann_file}: {len(check.turned)} images are turned or mirrored on loading, as their EXIF says '
                f'({check.turned[:3]}). Their sizes do not show whether the annotations are: look at --show-dir'
            )
        examples = '; '.join(describe_sizes(path, said[path], size) for path, size in list(check.wrong.items())[:3])
        causes = sorted({likely_cause(said[path], size) for path, size in check.wrong.items()})[:3]
        message = (
            f'{len(check.wrong)}{" or more" * (len(check.wrong) > most)} of {len(data_list)} images have another size '
            f'than {self.ann_file} says: {examples}. {". ".join(causes)}'
        )
        return self._without(check.wrong.keys(), data_list, message)

    def _without(self, paths: Collection[str], data_list: list[dict], message: str) -> list[dict]:
        if not paths:
            return data_list
        if len(paths) > self.max_unreadable_share * len(data_list):
            raise ValueError(
                f'{message}; more than the allowed share of {self.max_unreadable_share:.0%}. {self._remedy()}'
            )
        say_once(message)
        return data_list if self.test_mode else [info for info in data_list if info['img_path'] not in paths]
