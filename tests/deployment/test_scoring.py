"""A deployed model gives mmengine what mmseg's and mmdet's own `predict` do; its graph is here the network itself."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from mmdet.structures import DetDataSample
from mmdet.structures.bbox import bbox2roi
from mmengine.registry import MODELS, DefaultScope
from mmseg.structures import SegDataSample
from PIL import Image

from projects.deployment import scoring
from projects.deployment.model_info import ModelInfo
from projects.deployment.predictor import Predictor
from projects.deployment.scoring import DeployedModel, scores_of
from projects.sample_data import use_sample
from projects.training.config import load_config
from projects.training.launch import set_up
from tests.narrow import ONE_STAGE, TWO_STAGE

NARROW_RETINA = ONE_STAGE | {'model.bbox_head.stacked_convs': 1}
NARROW_MASK = TWO_STAGE | {'model.roi_head.mask_head.num_convs': 1}


def build(config, options=None):
    """A config, and its network with random weights."""
    cfg = load_config(f'configs/{config}.py', {'model.backbone.pretrained': False, **(options or {})})
    with DefaultScope.overwrite_default_scope(cfg.default_scope):
        torch.manual_seed(0)
        network = MODELS.build(cfg.model)
        network.init_weights()
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):  # as if trained: no layer hides the image
            module.running_var.uniform_(0.5, 1.5)
    return cfg, network.eval()


def confident(network):
    """Let a detector find much, its masks neither full nor empty."""
    if hasattr(network, 'roi_head'):
        torch.nn.init.normal_(network.roi_head.bbox_head.fc_cls.weight, std=9)
        torch.nn.init.normal_(network.roi_head.mask_head.conv_logits.weight, std=9)
    else:
        torch.nn.init.normal_(network.bbox_head.retina_cls.weight, std=3)
        torch.nn.init.constant_(network.bbox_head.retina_cls.bias, -3)


class Graph:
    """What an exported file would compute: RGB images in, probabilities or boxes in the image's own pixels out."""

    def __init__(self, network):
        self.network = network
        self.calls = []

    @torch.no_grad()
    def __call__(self, images):
        self.calls.append(images.shape)
        shape = images.shape[1:3]
        data_sample = (
            DetDataSample if hasattr(self.network, 'roi_head') or hasattr(self.network, 'bbox_head') else SegDataSample
        )
        meta = {'ori_shape': shape, 'img_shape': shape, 'scale_factor': (1.0, 1.0)}
        inputs = [torch.from_numpy(image[..., ::-1].copy().transpose(2, 0, 1)) for image in images]
        data = {'inputs': inputs, 'data_samples': [data_sample(metainfo=dict(meta)) for _ in inputs]}
        data = self.network.data_preprocessor(data, False)
        batch, samples = data['inputs'], data['data_samples']
        if data_sample is SegDataSample:
            logits = self.network.encode_decode(batch, [sample.metainfo for sample in samples])[
                ..., : shape[0], : shape[1]
            ]
            return {'probabilities': (logits.sigmoid() if logits.shape[1] == 1 else logits.softmax(dim=1)).numpy()}
        maps = self.network.extract_feat(batch)
        masks = {}
        if hasattr(self.network, 'roi_head'):
            roi_head = self.network.roi_head
            proposals = self.network.rpn_head.predict(maps, samples, rescale=False)
            found = roi_head.predict_bbox(maps, [s.metainfo for s in samples], proposals, roi_head.test_cfg)
            logits = roi_head._mask_forward(maps, bbox2roi([one.bboxes for one in found]))['mask_preds']
            chosen = torch.cat([one.labels for one in found])
            masks = {'masks': logits[range(len(chosen)), chosen].sigmoid().numpy()}
        else:
            found = self.network.bbox_head.predict(maps, samples, rescale=False)
        return {
            'boxes': torch.cat([one.bboxes for one in found]).numpy(),
            'scores': torch.cat([one.scores for one in found]).numpy(),
            'labels': torch.cat([one.labels for one in found]).numpy(),
            'image_indices': np.repeat(np.arange(len(found)), [len(one) for one in found]),
            **masks,
        }


def deployed(cfg, network, monkeypatch, info=None):
    predictor = Predictor(Graph(network), info or ModelInfo.from_config(cfg))
    monkeypatch.setattr(scoring, 'open_predictor', lambda model, **options: predictor)
    own = ModelInfo.from_config(cfg)
    return DeployedModel('model.onnx', own.task, own.classes)


def batch(data_sample, *shapes, ori_shape):
    """Images as a pipeline with Resize gives them, and their samples."""
    generator = np.random.default_rng(0)
    inputs, samples = [], []
    for height, width in shapes:
        coarse = generator.integers(0, 256, (height // 8 + 1, width // 8 + 1, 3), dtype=np.uint8)
        image = np.kron(coarse, np.ones((8, 8, 1), np.uint8))[:height, :width]
        inputs.append(torch.from_numpy(image.transpose(2, 0, 1).copy()))
        factor = (width / ori_shape[1], height / ori_shape[0])
        samples.append(
            data_sample(metainfo={'ori_shape': ori_shape, 'img_shape': (height, width), 'scale_factor': factor})
        )
    return {'inputs': inputs, 'data_samples': samples}


def both(model, network, data_sample, *shapes, ori_shape):
    """Samples of mmseg or mmdet, one image at a time as in testing, and of the deployed model."""
    expected = []
    for shape_index in range(len(shapes)):
        data = batch(data_sample, *shapes, ori_shape=ori_shape)
        one = {key: values[shape_index : shape_index + 1] for key, values in data.items()}
        with torch.no_grad():
            expected += network.test_step(one)
    return expected, model.test_step(batch(data_sample, *shapes, ori_shape=ori_shape))


def test_one_logit_is_the_building_mask_of_mmseg(monkeypatch):
    cfg, network = build('buildings/shvit_unet_scenes_sda')
    model = deployed(cfg, network, monkeypatch)
    (first,), _ = both(model, network, SegDataSample, (72, 104), ori_shape=(72, 104))
    network.decode_head.conv_seg.bias.data -= first.seg_logits.data.logit().median()
    (expected,), (found,) = both(model, network, SegDataSample, (72, 104), ori_shape=(72, 104))
    assert 0.1 < expected.pred_sem_seg.data.mean() < 0.9
    assert torch.equal(found.pred_sem_seg.data, expected.pred_sem_seg.data.long())
    assert torch.equal(found.seg_logits.data, expected.seg_logits.data)


def test_several_classes_are_resized_to_the_image_file_as_by_mmseg(monkeypatch):
    cfg, network = build('shvit_fpn_ade20k')
    model = deployed(cfg, network, monkeypatch)
    expected, found = both(model, network, SegDataSample, (64, 93), (75, 64), ori_shape=(101, 147))
    for theirs, ours in zip(expected, found, strict=True):
        assert len(theirs.pred_sem_seg.data.unique()) > 3
        assert ours.pred_sem_seg.data.shape == (1, 101, 147)
        assert (ours.pred_sem_seg.data == theirs.pred_sem_seg.data).float().mean() > 0.9995
        difference = ours.seg_logits.data - theirs.seg_logits.data
        torch.testing.assert_close(difference, difference[:1].expand_as(difference), rtol=0, atol=1e-4)


def test_labels_without_probabilities_have_no_logits(monkeypatch):
    cfg, network = build('shvit_fpn_ade20k')
    model = deployed(cfg, network, monkeypatch)
    labels = np.arange(64 * 64).reshape(1, 64, 64) % 150
    model.predictor.session = lambda images: {'labels': labels}
    (found,) = model.test_step(batch(SegDataSample, (64, 64), ori_shape=(64, 64)))
    assert torch.equal(found.pred_sem_seg.data, torch.from_numpy(labels))
    assert 'seg_logits' not in found


def test_boxes_are_those_of_mmdet_in_pixels_of_the_image_file(monkeypatch):
    cfg, network = build('shvit_retinanet_coco', NARROW_RETINA)
    confident(network)
    model = deployed(cfg, network, monkeypatch)
    expected, found = both(model, network, DetDataSample, (96, 144), (72, 144), ori_shape=(64, 96))
    check_instances(expected, found)
    assert 'masks' not in found[0].pred_instances


def check_instances(expected, found):
    for theirs, ours in zip(expected, found, strict=True):
        theirs, ours = theirs.pred_instances, ours.pred_instances
        assert len(theirs) > 5
        assert torch.equal(ours.labels, theirs.labels)
        torch.testing.assert_close(ours.scores, theirs.scores, rtol=0, atol=1e-6)
        torch.testing.assert_close(ours.bboxes, theirs.bboxes, rtol=0, atol=1e-3)


def test_masks_are_those_of_mmdet(monkeypatch):
    cfg, network = build('shvit_s1_maskrcnn_coco', NARROW_MASK)
    confident(network)
    model = deployed(cfg, network, monkeypatch)
    expected, found = both(model, network, DetDataSample, (96, 144), ori_shape=(64, 96))
    check_instances(expected, found)
    theirs, ours = (torch.from_numpy(one[0].pred_instances.masks.to_ndarray()) for one in (expected, found))
    assert ours.dtype == torch.bool
    assert 0.001 < theirs.float().mean() < 0.9
    assert (ours != theirs).float().mean() < 0.001


@pytest.mark.parametrize('config', ['shvit_retinanet_coco', 'shvit_s1_maskrcnn_coco'])
def test_an_image_without_detections_has_empty_instances_as_of_mmdet(config, monkeypatch):
    cfg, network = build(config, NARROW_RETINA if 'retinanet' in config else NARROW_MASK)
    head = network.bbox_head.retina_cls if 'retinanet' in config else network.roi_head.bbox_head.fc_cls
    torch.nn.init.constant_(head.bias, -20.0)
    if 'maskrcnn' in config:
        head.bias.data[-1] = 20.0  # background
    model = deployed(cfg, network, monkeypatch)
    (theirs,), (ours,) = both(model, network, DetDataSample, (96, 144), ori_shape=(64, 96))
    theirs, ours = theirs.pred_instances, ours.pred_instances
    assert set(ours.keys()) == set(theirs.keys())
    if 'masks' in ours:
        ours.masks = torch.from_numpy(ours.masks.to_ndarray())
    for key in theirs.keys():  # noqa: SIM118 (not a dict)
        assert ours[key].shape == theirs[key].shape
        assert ours[key].dtype == theirs[key].dtype


def test_a_graph_of_fixed_size_and_batch_is_given_what_it_takes(monkeypatch, logged):
    cfg, network = build('shvit_retinanet_coco', NARROW_RETINA)
    info = replace(ModelInfo.from_config(cfg), input_size=(96, 160), batch_size=2)
    model = deployed(cfg, network, monkeypatch, info)
    given = []

    def graph(images):
        given.append(images.shape)
        boxes = np.array([[0, 0, 72, 96], [9, 9, 99, 99]], np.float32)  # the left half of the first image
        return {
            'boxes': boxes,
            'scores': np.array([0.5, 0.6], np.float32),
            'labels': np.array([3, 4]),
            'image_indices': np.arange(2),
        }

    model.predictor.session = graph
    (found,) = model.test_step(batch(DetDataSample, (96, 144), ori_shape=(64, 96)))
    assert given == [(2, 96, 160, 3)]
    torch.testing.assert_close(found.pred_instances.bboxes, torch.tensor([[0.0, 0.0, 48.0, 64.0]]))
    assert found.pred_instances.labels.tolist() == [3]
    assert [message for message in logged if 'to fit 96x160 px, the size of the graph' in message]


def test_a_file_of_other_classes_or_another_task_is_refused(monkeypatch):
    cfg, network = build('shvit_retinanet_coco', NARROW_RETINA)
    info = ModelInfo.from_config(cfg)
    with pytest.raises(ValueError, match=r'knows 2 classes \(cat, dog\).* has 80 classes \(person, bicycle'):
        deployed(cfg, network, monkeypatch, replace(info, classes=('cat', 'dog')))
    with pytest.raises(ValueError, match='does instance segmentation; the config is for object detection'):
        deployed(cfg, network, monkeypatch, replace(info, task='instance segmentation'))


def sampled(config, tmp_path, options=None):
    cfg = load_config(f'configs/{config}.py', options, lambda cfg: use_sample(cfg, tmp_path, tiny=True))
    cfg.test_cfg.fp16 = False  # graphs compute in fp32, whatever suits this processor
    set_up(cfg, tmp_path / 'work')
    return cfg


def test_what_exported_files_cannot_do_is_refused(tmp_path):
    file = tmp_path / 'model.onnx'
    cfg = sampled('shvit_fpn_cityscapes', tmp_path)
    with pytest.raises(FileNotFoundError, match='No checkpoint or exported file'):
        scores_of(cfg, file)
    file.touch()
    with pytest.raises(ValueError, match='--tta works with a checkpoint'):
        scores_of(cfg, file, augment=True)
    cfg.model.test_cfg.mode = 'slide'
    with pytest.raises(ValueError, match=r"test_cfg.mode = 'slide'.*mode=whole"):
        scores_of(cfg, file)


@pytest.mark.parametrize('config', ['shvit_fpn_cityscapes', 'buildings/shvit_maskrcnn_scenes'])
def test_scores_pictures_and_results_are_those_of_mmengines_own_loop(config, tmp_path, monkeypatch):
    cfg = sampled(config, tmp_path, NARROW_MASK if 'maskrcnn' in config else None)
    _, network = build(config, NARROW_MASK if 'maskrcnn' in config else None)
    if 'maskrcnn' in config:  # it finds buildings everywhere
        network.roi_head.bbox_head.fc_cls.bias.data[0] = 5
        network.roi_head.mask_head.conv_logits.bias.data[:] = 5
    else:
        torch.nn.init.normal_(network.decode_head.conv_seg.weight, std=1)
    torch.save(network.state_dict(), tmp_path / 'epoch_1.pth')
    file = tmp_path / 'model.onnx'
    file.touch()
    predictor = Predictor(Graph(network), ModelInfo.from_config(cfg))
    opened = []
    monkeypatch.setattr(scoring, 'open_predictor', lambda *names, **options: opened.append(options) or predictor)
    cfg.default_hooks.visualization = {'type': 'PredictionPictures', 'folder': str(tmp_path / 'expected')}
    expected = scores_of(cfg, tmp_path / 'epoch_1.pth')
    assert not opened
    cfg.default_hooks.visualization.folder = str(tmp_path / 'found')
    cfg.load_from = 'no longer needed.pth'
    found = scores_of(cfg, file, runtime='openvino', threads=1)
    assert opened == [{'runtime': 'openvino', 'threads': 1}]
    assert found.keys() == expected.keys()
    assert any(value > 0 for value in found.values())
    pictures = list((tmp_path / 'expected').iterdir())
    assert pictures
    assert found == pytest.approx(expected, abs=0.01, nan_ok=True)
    for picture in pictures:
        drawn = [np.asarray(Image.open(tmp_path / kind / picture.name), float) for kind in ('expected', 'found')]
        assert abs(drawn[0] - drawn[1]).mean() < 0.5


def test_a_checkpoint_in_a_runtime_is_opened_with_the_options_of_the_command_line(tmp_path, monkeypatch):
    cfg = sampled('shvit_fpn_cityscapes', tmp_path, {'model.decode_head.dropout_ratio': 0.25})
    (tmp_path / 'epoch_1.pth').touch()
    opened = {}

    def open_predictor(model, checkpoint, runtime):
        opened.update(cfg=load_config(model), checkpoint=checkpoint, runtime=runtime)
        raise InterruptedError

    monkeypatch.setattr(scoring, 'open_predictor', open_predictor)
    with pytest.raises(InterruptedError):
        scores_of(cfg, tmp_path / 'epoch_1.pth', runtime='compile')
    assert opened.pop('cfg').model.decode_head.dropout_ratio == 0.25
    assert opened == {'checkpoint': str(tmp_path / 'epoch_1.pth'), 'runtime': 'compile'}
