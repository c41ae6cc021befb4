from copy import deepcopy

import pytest
import torch
from mmengine.registry import MODELS
from torch.nn import functional as F

from projects.building_extraction.knowledge_transfer.losses import bernoulli_divergence

TWO_CHANNELS = {'out_channels': 2, 'threshold': None, 'loss_decode': {'type': 'CrossEntropyLoss'}}


@pytest.fixture
def teacher(tmp_path, network, build):
    """A trained teacher with another decoder, whose logits are coarser; its config and checkpoint."""
    config = network('PSPNet')
    model = build(config, seed=5)
    with torch.no_grad():
        for buffer in model.buffers():
            if buffer.is_floating_point():
                buffer.add_(0.1)
    path = tmp_path / 'teacher.pth'
    torch.save({'meta': {}, 'state_dict': model.state_dict()}, path)
    return {'model': config, 'checkpoint': str(path)}


@pytest.fixture
def distilled(network, teacher):
    def make(**options):
        return network(**{'type': 'DistilledSegmentor', 'teacher': deepcopy(teacher), **options})

    return make


def equal(weights, others):
    return weights.keys() == others.keys() and all(torch.equal(weights[key], others[key]) for key in weights)


def test_the_loss_is_the_weighted_sum_of_labels_and_teacher(network, build, distilled, batch):
    student, plain = build(distilled(alpha=0.3, temperature=4.0)), build(network())
    assert equal(student.state_dict(), plain.state_dict())
    losses, expected = student.loss(batch.images, batch.samples), plain.loss(batch.images, batch.samples)
    torch.testing.assert_close(losses['decode.loss_bce+dice'], 0.7 * expected['decode.loss_bce+dice'])
    with torch.no_grad():
        teacher = student.teacher
        logits = teacher.decode_head(teacher.extract_feat(batch.images))
        assert logits.shape[2:] == (8, 8)
        target = F.interpolate(logits, (64, 64), mode='bilinear', align_corners=False)
        own = build(network()).decode_head(build(network()).extract_feat(batch.images))
    divergence = bernoulli_divergence(own, target, batch.labels, 4.0)
    assert divergence > 0
    torch.testing.assert_close(losses['loss_distillation'].detach(), 0.3 * 16 * divergence)


def test_hard_targets_are_the_teachers_decisions_at_temperature_1(build, distilled, network, batch, monkeypatch):
    student = build(distilled(alpha=0.3, temperature=4.0, hard=True))
    logits = torch.randn(len(batch.images), 1, 8, 8, generator=torch.Generator().manual_seed(0))
    monkeypatch.setattr(student.teacher.decode_head, 'forward', lambda maps: logits)
    loss = student.loss(batch.images, batch.samples)['loss_distillation']
    decided = (F.interpolate(logits, (64, 64), mode='bilinear', align_corners=False) > 0).float()
    with torch.no_grad():
        plain = build(network())
        own = plain.decode_head(plain.extract_feat(batch.images))
    valid = (batch.labels != 255)[:, None]
    expected = F.binary_cross_entropy_with_logits(own[valid], decided[valid])
    torch.testing.assert_close(loss.detach(), 0.3 * expected)


def test_the_teacher_sees_the_images_that_the_student_sees_in_eval_mode(build, distilled, batch):
    """Augmentation is done by then: there is one batch for both."""
    student = build(distilled()).train()
    seen = {}
    for name, network in (('student', student), ('teacher', student.teacher)):
        network.backbone.register_forward_pre_hook(
            lambda module, inputs, name=name: seen.update({name: (inputs[0], module.training)})
        )
    student.loss(batch.images, batch.samples)
    assert seen['teacher'][0] is seen['student'][0] is batch.images
    assert (seen['student'][1], seen['teacher'][1]) == (True, False)
    assert not any(module.training for module in student.teacher.modules())


def test_auxiliary_heads_learn_from_labels_with_the_same_weight(build, network, distilled, batch):
    auxiliary = dict(network('PSPNet').decode_head)

    def losses_of(config):
        model = build(config)
        torch.manual_seed(2)  # of the dropout
        return model.loss(batch.images, batch.samples)

    losses = losses_of(distilled(alpha=0.3, auxiliary_head=auxiliary))
    expected = losses_of(network(auxiliary_head=auxiliary))
    assert losses.keys() == expected.keys() | {'loss_distillation'}
    assert {'aux.loss_bce+dice', 'decode.loss_bce+dice'} < losses.keys()
    for name in ('aux.loss_bce+dice', 'decode.loss_bce+dice'):
        torch.testing.assert_close(losses[name], 0.7 * expected[name])


def test_ignored_pixels_do_not_count(build, distilled, batch):
    student = build(distilled()).eval()
    before = student.loss(batch.images, batch.samples)
    student.teacher.decode_head.conv_seg.weight.data.zero_()
    for sample in batch.samples:
        sample.gt_sem_seg.data.fill_(255)
    after = student.loss(batch.images, batch.samples)
    assert before['loss_distillation'] > 0
    assert after['loss_distillation'] == after['decode.loss_bce+dice'] == 0


def test_without_a_weight_of_the_teacher_it_is_plain_training(tmp_path, train, network, distilled):
    plain = train(tmp_path / 'plain', network())
    student = train(tmp_path / 'student', distilled(alpha=0.0))
    assert equal(plain.model.state_dict(), student.model.state_dict())


def test_training_leaves_the_teacher_as_it_was_and_out_of_all_that_is_the_students(
    tmp_path, train, network, distilled, teacher
):
    runner = train(tmp_path / 'run', distilled(alpha=0.8))
    student, weights = runner.model, torch.load(teacher['checkpoint'])['state_dict']
    assert equal(student.teacher.state_dict(), weights)
    assert not any(module.training for module in student.teacher.modules())
    ours = {id(parameter) for parameter in student.teacher.parameters()}
    optimized = {id(p) for group in runner.optim_wrapper.param_groups for p in group['params']}
    assert not ours & (optimized | {id(parameter) for parameter in student.parameters()})
    assert not any(module is student.teacher for module in student.modules())
    assert all(parameter.grad is None for parameter in student.teacher.parameters())

    checkpoint = torch.load(tmp_path / 'run' / 'iter_4.pth', weights_only=False)['state_dict']
    ordinary = MODELS.build(network())
    ordinary.load_state_dict(checkpoint, strict=True)
    images = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        ours, theirs = (model.eval().predict(images)[0] for model in (student, ordinary))
    assert torch.equal(ours.seg_logits.data, theirs.seg_logits.data)
    assert torch.equal(ours.pred_sem_seg.data, theirs.pred_sem_seg.data)


def test_the_teacher_changes_what_is_learnt(tmp_path, train, distilled):
    weak, strong = (train(tmp_path / str(alpha), distilled(alpha=alpha)).model for alpha in (0.1, 0.9))
    assert not equal(weak.state_dict(), strong.state_dict())


def test_the_teacher_follows_the_student_and_keeps_its_mode(build, distilled):
    student = build(distilled())
    assert next(student.teacher.parameters()).dtype == torch.float32
    student.double().train()
    assert next(student.teacher.parameters()).dtype == torch.float64
    assert not student.teacher.training
    assert next(deepcopy(student).float().teacher.parameters()).dtype == torch.float32
    assert next(student.teacher.parameters()).dtype == torch.float64
    late = MODELS.build(distilled()).double()
    assert next(late.teacher.parameters()).dtype == torch.float64


def test_inference_needs_no_teacher(distilled):
    student = MODELS.build(distilled(teacher={'model': {}, 'checkpoint': 'nowhere.pth'}))
    with torch.no_grad():
        assert student.eval().predict(torch.rand(1, 3, 64, 64))[0].pred_sem_seg.data.shape == (1, 64, 64)


def test_a_teacher_can_be_named_by_its_config(tmp_path, build, distilled, teacher):
    config = tmp_path / 'teacher_config.py'
    config.write_text(f'model = {teacher["model"]!r}\n')
    student = build(distilled(teacher={'config': str(config), 'checkpoint': teacher['checkpoint']}))
    assert equal(student.teacher.state_dict(), torch.load(teacher['checkpoint'])['state_dict'])


def test_a_missing_teacher_is_refused_with_the_command_that_trains_it(tmp_path, build, distilled):
    missing = {'config': 'configs/buildings/teacher.py', 'checkpoint': str(tmp_path / 'none.pth')}
    with pytest.raises(
        FileNotFoundError, match=r'holds teacher.pth. Train it: python tools/train.py configs/buildings/'
    ):
        build(distilled(teacher=missing))


def test_a_teacher_that_does_not_fit_is_refused_with_what_is_wrong(build, distilled, teacher, network):
    with pytest.raises(ValueError, match=r'(?s)missing: decode_head.*left over: decode_head'):
        build(distilled(teacher=teacher | {'model': network('Unet')}))
    wide = deepcopy(teacher['model'])
    wide['decode_head']['decoder_options'] = {'out_channels': 32}
    with pytest.raises(ValueError, match=r'of another shape: decode_head.* instead of'):
        build(distilled(teacher=teacher | {'model': wide}))
    other_images = teacher['model'] | {
        'data_preprocessor': {**teacher['model']['data_preprocessor'], 'mean': [0.0] * 3}
    }
    with pytest.raises(ValueError, match='expects other images'):
        build(distilled(teacher=teacher | {'model': other_images}))


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        ({'temperature': 0.0}, 'temperature must be above 0'),
        ({'alpha': 1.5}, 'alpha must be 0'),
        ({'teacher': {'checkpoint': 'x.pth'}}, 'teacher must be dict'),
        ({'teacher': {'checkpoint': 'x.pth', 'config': 'c', 'model': {}}}, 'teacher must be dict'),
    ],
)
def test_options_out_of_range_are_refused(distilled, options, message):
    with pytest.raises(ValueError, match=message):
        MODELS.build(distilled(**options))


def test_several_channels_of_logits_are_refused(distilled):
    config = distilled()
    config['decode_head'] = dict(config['decode_head']) | TWO_CHANNELS
    with pytest.raises(ValueError, match='2 channels of logits'):
        MODELS.build(config)
