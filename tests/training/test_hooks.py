from types import SimpleNamespace
from unittest.mock import MagicMock

import numpy as np
import pytest
from mmengine.logging import MessageHub
from PIL import Image

from projects.training.datasets import LoadImage
from projects.training.hooks import PredictionPictures, RecordScores, recorded_scores


class Sample(SimpleNamespace):
    def get(self, key, default):
        return default


def test_pictures_of_images_of_one_name_do_not_replace_one_another(tmp_path):
    paths = [tmp_path / name for name in ('a/1.png', 'b/1.png', 'b/2.png')]
    for level, path in enumerate(paths):
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(np.full((4, 4, 3), level, np.uint8)).save(path)

    class Images(list):
        get_data_info = list.__getitem__

    def draw(name, image, data_sample, out_file):
        Image.fromarray(image).save(out_file)

    runner = SimpleNamespace(
        test_dataloader=SimpleNamespace(dataset=Images({'img_path': str(path)} for path in paths)),
        visualizer=SimpleNamespace(add_datasample=draw),
    )
    hook = PredictionPictures(folder=str(tmp_path / 'out'))
    hook.after_test_iter(runner, 0, outputs=[Sample(img_path=str(path)) for path in paths])
    drawn = {
        path.relative_to(tmp_path / 'out').as_posix(): int(np.asarray(Image.open(path)).max())
        for path in (tmp_path / 'out').rglob('*.png')
    }
    assert drawn == {'a/1.png': 0, 'b/1.png': 1, '2.png': 2}


def test_pictures_are_turned_as_the_network_sees_them(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    path = str(tmp_path / 'turned.jpg')
    Image.new('RGB', (8, 4), (255, 0, 0)).save(path, exif=exif)
    drawn = []

    def draw(name, image, data_sample, out_file):
        drawn.append(image)

    for color_type in ('color', 'color_ignore_orientation'):
        loader = LoadImage(color_type=color_type)
        dataset = MagicMock(pipeline=SimpleNamespace(transforms=[loader]), __len__=lambda _: 1)
        dataset.get_data_info.return_value = {'img_path': path}
        runner = SimpleNamespace(
            test_dataloader=SimpleNamespace(dataset=dataset), visualizer=SimpleNamespace(add_datasample=draw)
        )
        PredictionPictures(folder=str(tmp_path)).after_test_iter(runner, 0, outputs=[Sample(img_path=path)])
    assert [image.shape for image in drawn] == [(8, 4, 3), (4, 8, 3)]
    assert all(image[..., 0].min() > 200 for image in drawn)  # red comes first


def test_recorded_scores_have_their_iterations_though_a_validation_was_lost():
    hub = MessageHub('curve')
    runner = SimpleNamespace(iter=32, message_hub=hub)
    hook = RecordScores({'f1': 'building/f1', 'all': 'mIoU'})
    hook.after_val_epoch(runner, {'building/f1': 40.0, 'mIoU': 1.0})
    runner.iter = 96  # interrupted in the validation after 64
    hook.after_val_epoch(runner, {'building/f1': 60.0, 'mIoU': 2.0})
    assert recorded_scores(hub, 'f1') == {32: 40.0, 96: 60.0}
    assert recorded_scores(hub, 'all') == {32: 1.0, 96: 2.0}
    assert recorded_scores(hub, 'other') == {}


def test_a_score_to_record_that_the_validation_does_not_give_is_named():
    with pytest.raises(ValueError, match=r"no 'building/f1' to record, but \['mIoU'\]"):
        RecordScores({'f1': 'building/f1'}).after_val_epoch(SimpleNamespace(iter=1), {'mIoU': 1.0})


def test_no_pictures_in_training_are_none():
    PredictionPictures(num_pictures=0).after_val_iter(None, 0)  # looks at nothing
