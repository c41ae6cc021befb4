import pytest
import segmentation_models_pytorch as smp
import torch
from mmengine.config import ConfigDict
from mmengine.registry import MODELS, init_default_scope
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample
from torch.nn import functional as F

from projects.efficient_models.backbones import EfficientMod, EfficientViTMIT, SHViT
from projects.efficient_models.decode_heads import SMPHead

CHANNELS = {2: 16, 4: 24, 8: 32, 16: 40, 32: 64, 64: 72}
# What makes SMP's model end with the logits that its decoder gives, for levels as backbones here have them.
SMP_OPTIONS = {
    'Unet': {},
    'UnetPlusPlus': {},
    'MAnet': {},
    'Linknet': {},
    'FPN': {'upsampling': 1},
    'PSPNet': {'upsampling': 1, 'encoder_depth': 5},
    'PAN': {'upsampling': 1, 'encoder_output_stride': 32},
    'DeepLabV3Plus': {'upsampling': 1, 'encoder_depth': 4},
}
DECODERS = list(SMP_OPTIONS)
LOGIT_STRIDES = dict.fromkeys(DECODERS, 1) | {'FPN': 4, 'PSPNet': 32, 'PAN': 4, 'DeepLabV3Plus': 4}


@pytest.fixture(autouse=True)
def _mmseg_scope():
    init_default_scope('mmseg')


def small_head(decoder, strides=(4, 8, 16, 32), **options):
    """A head of few channels."""
    narrow = {
        'FPN': {'pyramid_channels': 32, 'segmentation_channels': 32},
        'PSPNet': {'out_channels': 32},
        'PAN': {},
        'Linknet': {},
        'DeepLabV3Plus': {'out_channels': 32, 'aspp_dropout': 0.0},
    }.get(decoder, {'decoder_channels': (32, 24, 16, 12, 8, 8)[: strides[-1].bit_length() - 1]})
    options = {'decoder_options': narrow, 'num_classes': 5} | options
    return SMPHead(decoder, [CHANNELS[stride] for stride in strides], strides, **options)


def maps(height, width, strides=(4, 8, 16, 32), batch=2):
    return [torch.randn(batch, CHANNELS[s], -(-height // s), -(-width // s)) for s in strides]


def smp_model(randomize, decoder, encoder):
    options = {'encoder_weights': None, 'classes': 5} | SMP_OPTIONS[decoder]
    return randomize(getattr(smp, decoder)(encoder, **options)).eval()


def same_head(model, decoder, strides):
    """Our head with the weights of SMP's model, strictly."""
    channels = model.encoder.out_channels[-len(strides) :]
    decode_head = SMPHead(decoder, channels, strides, num_classes=5)
    weights = {f'decoder.{key}': value for key, value in model.decoder.state_dict().items()}
    weights |= {f'conv_seg.{key}': value for key, value in model.segmentation_head[0].state_dict().items()}
    decode_head.load_state_dict(weights)
    assert str(decode_head.decoder) == str(model.decoder)  # dropout, too
    return decode_head.eval()


def assert_equal(logits, expected):
    torch.testing.assert_close(logits, expected, rtol=0, atol=0)


# Parity with SMP


@pytest.mark.parametrize('decoder', DECODERS)
def test_logits_of_the_whole_smp_model(randomize, decoder):
    """SMP's encoder and ours agree on levels: strides 2 to 32, to 16 for DeepLabV3+."""
    model = smp_model(randomize, decoder, 'resnet18')
    image = torch.randn(1, 3, 256, 288) if decoder == 'PAN' else torch.randn(1, 3, 64, 96)
    with torch.inference_mode():
        features = model.encoder(image)[1:]
        decode_head = same_head(model, decoder, [2, 4, 8, 16, 32][: len(features)])
        assert_equal(decode_head(features), model(image))


@pytest.mark.parametrize('decoder', DECODERS)
def test_logits_of_the_whole_smp_model_without_stride_2(randomize, decoder):
    model = smp_model(randomize, decoder, 'tu-convnext_atto')
    image = torch.randn(1, 3, 256, 288) if decoder == 'PAN' else torch.randn(1, 3, 64, 96)
    with torch.inference_mode():
        _, empty, *features = model.encoder(image)
        assert empty.shape[1] == 0
        decode_head = same_head(model, decoder, [4, 8, 16, 32][: len(features)])
        assert_equal(decode_head(features), model(image))


@pytest.mark.parametrize('size', [(98, 130), (34, 62)], ids=str)
def test_unet_takes_maps_as_they_are(randomize, size):
    """The one decoder that SMP offers for sides that are no multiples of the coarsest stride."""
    model = smp_model(randomize, 'Unet', 'resnet18')
    image = torch.randn(1, 3, *size)
    with torch.inference_mode():
        decode_head = same_head(model, 'Unet', [2, 4, 8, 16, 32])
        assert_equal(decode_head(model.encoder(image)[1:]), model(image))


@pytest.mark.parametrize('decoder', DECODERS[1:])
def test_other_sizes_continue_the_maps(randomize, decoder):
    """SMP refuses them. By hand: each map repeats its last row and column, the logits lose what was added."""
    decode_head = randomize(small_head(decoder)).eval()
    inputs = maps(289, 323)  # 10 and 11 cells at stride 32
    rows, columns = ([torch.arange(cells * 32 // s) for s in (4, 8, 16, 32)] for cells in (10, 11))
    extended = [
        x[:, :, row.clamp(max=x.shape[2] - 1)][:, :, :, column.clamp(max=x.shape[3] - 1)]
        for x, row, column in zip(inputs, rows, columns, strict=True)
    ]
    height, width = (-(-side // LOGIT_STRIDES[decoder]) for side in (292, 324))  # full cells of stride 4
    with torch.inference_mode():
        features = [torch.empty(2, 0, 320, 352), torch.empty(2, 0, 160, 176), *extended]
        expected = decode_head.conv_seg(decode_head.decoder(features))[:, :, :height, :width]
        assert_equal(decode_head(inputs), expected)


def test_pan_has_at_least_8_cells(randomize):
    """Its attention halves the coarsest map three times: an image of 64x96 is continued to 256x256."""
    decode_head = randomize(small_head('PAN')).eval()
    inputs = maps(64, 96)
    with torch.inference_mode():
        extended = [
            F.pad(x, (0, 256 // s - x.shape[3], 0, 256 // s - x.shape[2]), mode='replicate')
            for x, s in zip(inputs, (4, 8, 16, 32), strict=True)
        ]
        assert_equal(decode_head(inputs), decode_head(extended)[:, :, :16, :24])


def test_deeplab_enlarges_from_the_coarsest_stride(randomize):
    decode_head = randomize(small_head('DeepLabV3Plus')).eval()
    inputs = maps(64, 96)
    with torch.inference_mode():
        decoder = decode_head.decoder
        aspp = F.interpolate(decoder.aspp(inputs[3]), size=(16, 24), mode='bilinear', align_corners=True)
        fused = decoder.block2(torch.cat([aspp, decoder.block1(inputs[0])], 1))
        torch.testing.assert_close(decode_head(inputs), decode_head.conv_seg(fused))


@pytest.mark.parametrize('decoder', ['Unet', 'UnetPlusPlus', 'MAnet', 'Linknet', 'FPN', 'PSPNet', 'DeepLabV3Plus'])
def test_six_levels(randomize, decoder):
    """Down to stride 64, as SHViT's; SMP's encoders end at 32."""
    strides = (2, 4, 8, 16, 32, 64)
    decode_head = randomize(small_head(decoder, strides)).eval()
    inputs = maps(128, 192, strides)
    with torch.inference_mode():
        logits = decode_head(inputs)
        stride = {'FPN': 8, 'PSPNet': 64, 'DeepLabV3Plus': 4}.get(decoder, 1)
        assert logits.shape == (2, 5, 128 // stride, 192 // stride)
        inputs[-1] += 1
        assert not torch.allclose(decode_head(inputs), logits)


def test_weights_start_as_in_smp():
    """Kaiming's uniform distribution in the decoder; mmseg's normal one in the classifier, as in all of its heads."""
    decode_head = small_head('Unet')
    decode_head.init_weights()
    weight = decode_head.decoder.blocks[0].conv1[0].weight
    bound = (6 / weight[0].numel()) ** 0.5
    assert 0.98 * bound < weight.abs().max() <= bound
    assert decode_head.conv_seg.weight.std().item() == pytest.approx(0.01, rel=0.2)


# Behaviour


@pytest.mark.parametrize('size', [(32, 32), (33, 47), (97, 131), (64, 96)], ids=str)
@pytest.mark.parametrize('decoder', DECODERS)
def test_any_size(decoder, size):
    decode_head = small_head(decoder).eval()
    with torch.inference_mode():
        logits = decode_head(maps(*size))
    full_cells = [-(-side // 4) * 4 for side in size]
    assert logits.shape == (2, 5, *(-(-side // LOGIT_STRIDES[decoder]) for side in full_cells))
    assert logits.isfinite().all()


@pytest.mark.parametrize('strides', [(8, 16, 32), (2, 8, 32), (32,)], ids=str)
@pytest.mark.parametrize('decoder', ['Unet', 'MAnet', 'Linknet', 'PSPNet'])
def test_gaps_between_levels(decoder, strides):
    decode_head = small_head(decoder, strides)
    logits = decode_head(maps(96, 160, strides))
    assert logits.shape == (2, 5, *((3, 5) if decoder == 'PSPNet' else (96, 160)))


def test_one_channel_of_logits_has_no_accuracy():
    """mmseg would take it from the highest of one channel: the share of background."""
    sample = SegDataSample(gt_sem_seg=PixelData(data=torch.randint(0, 2, (1, 64, 64))))
    loss = {'type': 'CrossEntropyLoss', 'use_sigmoid': True}
    head = small_head('Unet', num_classes=2, out_channels=1, threshold=0.5, loss_decode=loss)
    assert set(head.loss(maps(64, 64), [sample, sample], {})) == {'loss_ce'}
    assert set(small_head('Unet', num_classes=2).loss(maps(64, 64), [sample, sample], {})) == {'loss_ce', 'acc_seg'}


@pytest.mark.parametrize('decoder', DECODERS)
def test_loss_and_gradients(randomize, decoder):
    decode_head = randomize(small_head(decoder, ignore_index=4))
    labels = torch.randint(0, 5, (1, 97, 131))
    sample = SegDataSample(gt_sem_seg=PixelData(data=labels))
    inputs = maps(97, 131)
    losses = decode_head.loss(inputs, [sample, sample], {})
    losses['loss_ce'].backward()
    assert losses['loss_ce'].isfinite()
    assert not [name for name, parameter in decode_head.named_parameters() if parameter.grad is None]


def test_inputs_keep_their_values(randomize):
    """Activations of SMP work in place."""
    for decoder in DECODERS:
        decode_head = randomize(small_head(decoder)).eval()
        inputs = maps(64, 64)
        before = [x.clone() for x in inputs]
        with torch.inference_mode():
            decode_head(inputs)
        assert all(torch.equal(x, old) for x, old in zip(inputs, before, strict=True)), decoder


@pytest.mark.parametrize('decoder', DECODERS)
def test_autocast(randomize, decoder):
    decode_head = randomize(small_head(decoder)).eval()
    inputs = maps(97, 131)
    with torch.inference_mode():
        expected = decode_head(inputs)
        with torch.autocast('cpu', dtype=torch.bfloat16):
            logits = decode_head(inputs)
    error = (logits.float() - expected).square().mean().sqrt() / expected.square().mean().sqrt()
    assert 0 < error < 10 * torch.finfo(torch.bfloat16).eps


def test_options_reach_the_decoder():
    decode_head = small_head(
        'Unet', decoder_options={'decoder_channels': (32, 24, 16, 16, 48), 'attention_type': 'scse'}, dropout_ratio=0.3
    )
    assert any(type(module).__name__ == 'SCSEModule' for module in decode_head.decoder.modules())
    assert decode_head.channels == decode_head.conv_seg.in_channels == 48
    assert decode_head.dropout.p == 0.3
    assert small_head('Unet').dropout is None
    concatenated = {'pyramid_channels': 32, 'segmentation_channels': 32, 'merge_policy': 'cat'}
    assert small_head('FPN', decoder_options=concatenated).channels == 128


def test_in_index_chooses_the_maps(randomize):
    decode_head = randomize(small_head('Unet', in_index=(1, 2, 3, 4))).eval()
    inputs = maps(64, 64, (2, 4, 8, 16, 32))
    with torch.inference_mode():
        logits = decode_head(inputs)
        decode_head.in_index = [0, 1, 2, 3]
        assert_equal(logits, decode_head(inputs[1:]))


# Bad arguments


@pytest.mark.parametrize(
    ('decoder', 'strides', 'options', 'message'),
    [
        ('UNet', (4, 8, 16, 32), {}, "one of Unet, UnetPlusPlus.*DeepLabV3Plus, got 'UNet'"),
        ('Unet', (32, 16, 8, 4), {}, r'increasing powers of two.*strides=\(32, 16, 8, 4\)'),
        ('Unet', (4, 8, 16, 32), {'in_index': (0, 1)}, r'one for each.*in_index=\(0, 1\)'),
        ('Unet', (2, 4), {}, r'coarsest stride of Unet must be 8 to 64, got strides=\(2, 4\).*out_indices'),
        ('PAN', (4, 8, 16, 32, 64), {}, 'coarsest stride of PAN must be 8 to 32'),
        ('FPN', (2, 4, 8), {}, 'coarsest stride of FPN must be 16 to 64'),
        ('FPN', (8, 16, 32), {}, r'FPN lacks the levels of strides \[4\]'),
        ('UnetPlusPlus', (2, 4, 16, 32), {}, r'UnetPlusPlus lacks the levels of strides \[8\]'),
        ('PAN', (2, 16, 32), {}, r'PAN lacks the levels of strides \[4, 8\]'),
        ('DeepLabV3Plus', (8, 16, 32), {}, r'DeepLabV3Plus lacks the levels of strides \[4\]'),
        ('PAN', (4, 8, 16, 32), {'decoder_options': {'width': 8}}, 'among decoder_channels, interp.*; got width'),
        ('Unet', (4, 8, 16, 32), {'decoder_options': {'n_blocks': 4}}, 'got n_blocks'),
        ('DeepLabV3Plus', (4, 8, 16), {'decoder_options': {'output_stride': 8}}, 'got output_stride'),
    ],
)
def test_bad_arguments(decoder, strides, options, message):
    with pytest.raises(ValueError, match=message):
        SMPHead(decoder, [CHANNELS[stride] for stride in strides], strides, num_classes=5, **options)


@pytest.mark.parametrize('decoder', ['Unet', 'FPN'])
def test_maps_of_other_strides(decoder):
    decode_head = small_head(decoder)
    inputs = maps(64, 64)
    inputs[1] = torch.randn(2, CHANNELS[8], 16, 16)
    with pytest.raises(ValueError, match=r'do not fit the strides.*4: \(16, 16\), 8: \(16, 16\), 16: \(4, 4\)'):
        decode_head(inputs)


# In a segmentor


@pytest.mark.parametrize('decoder', DECODERS)
@pytest.mark.parametrize(
    ('network', 'options'),
    [
        (SHViT, {'arch': 's1', 'out_indices': (0, 1, 2, 3, 4, 5)}),
        (EfficientMod, {'arch': 'xxs'}),
        (EfficientViTMIT, {'arch': 'b0', 'out_indices': (0, 1, 2, 3, 4)}),
    ],
    ids=['SHViT', 'EfficientMod', 'EfficientViTMIT'],
)
def test_in_a_segmentor(decoder, network, options):
    """A training step and both modes of inference, at an odd size."""
    backbone = network(**options)
    chosen = range(len(backbone.strides) - (decoder == 'PAN' and backbone.strides[-1] == 64))
    decode_head = {
        'type': 'SMPHead',
        'decoder': decoder,
        'in_channels': [backbone.out_channels[index] for index in chosen],
        'strides': [backbone.strides[index] for index in chosen],
        'in_index': list(chosen),
        'num_classes': 5,
    }
    config = ConfigDict(
        type='mmseg.EncoderDecoder',
        data_preprocessor={'type': 'mmseg.SegDataPreProcessor'},
        backbone=dict(type=network.__name__, **options),
        decode_head=decode_head,
        test_cfg={'mode': 'whole'},
    )
    segmentor = MODELS.build(config)
    samples = [SegDataSample(gt_sem_seg=PixelData(data=torch.randint(0, 5, (1, 97, 131)))) for _ in range(2)]
    loss, _ = segmentor.parse_losses(segmentor.loss(torch.randn(2, 3, 97, 131), samples))
    loss.backward()
    assert loss.isfinite()
    assert all(parameter.grad is not None for parameter in segmentor.decode_head.parameters())
    segmentor.eval()
    for test_cfg in ({'mode': 'whole'}, {'mode': 'slide', 'crop_size': (64, 64), 'stride': (48, 48)}):
        segmentor.test_cfg = ConfigDict(test_cfg)
        with torch.inference_mode():
            (sample,) = segmentor(torch.randn(1, 3, 97, 131), mode='predict')
        assert sample.seg_logits.data.shape == (5, 97, 131)
        assert sample.pred_sem_seg.data.shape == (1, 97, 131)
