from types import SimpleNamespace

import numpy as np
from PIL import Image

from projects.training.hooks import PredictionPictures


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
