import torch
from timm.models import swiftformer

from projects.efficient_models.token_mixers.additive_attention import AdditiveAttention
from projects.efficient_models.token_mixers.conv_additive_attention import ChannelGate, ConvAdditiveAttention


def test_timms_weights_give_timms_map(randomize):
    theirs = randomize(swiftformer.EfficientAdditiveAttention(24, 24)).eval()
    ours = AdditiveAttention(24).eval()
    weights = {name: one[:, :, None, None] if one.dim() == 2 else one for name, one in theirs.state_dict().items()}
    weights['w_g.weight'] = weights.pop('w_g').transpose(0, 1)
    ours.load_state_dict(weights)
    x = torch.randn(2, 24, 9, 6)
    with torch.inference_mode():
        torch.testing.assert_close(ours(x), theirs(x), rtol=0, atol=1e-5)


def test_order_of_tokens_does_not_matter_to_additive_attention_but_to_its_convolutional_form(randomize):
    x = torch.randn(1, 16, 6, 7)
    order = torch.randperm(42)
    shuffled = x.flatten(2)[..., order].view_as(x)
    with torch.inference_mode():
        for mixer, indifferent in ((AdditiveAttention(16), True), (ConvAdditiveAttention(16), False)):
            randomize(mixer).eval()
            error = (mixer(shuffled) - mixer(x).flatten(2)[..., order].view_as(x)).abs().max()
            assert (error < 1e-5) == indifferent


def test_a_gate_of_zeros_halves_its_map():
    gate = ChannelGate(8).eval()
    for parameter in gate.parameters():
        torch.nn.init.zeros_(parameter)
    x = torch.randn(1, 8, 4, 5)
    assert torch.equal(gate(x), x / 2)


def test_convolutional_form_is_the_published_formula(randomize):
    """CAS-ViT, equation of the convolutional additive token mixer, with each step written out."""
    mixer = randomize(ConvAdditiveAttention(8)).eval()
    x = torch.randn(2, 8, 5, 6)

    def gated(gates, tokens):
        spatial, channel = (one.gate for one in gates)
        convolved = spatial[0].bn(spatial[0].c(tokens)).relu()
        tokens = tokens * (spatial[2].weight[0, :, :, :] * convolved).sum(1, keepdim=True).sigmoid()
        means = tokens.mean((2, 3))
        opened = (channel[0].weight[:, :, 0, 0] @ means.T).T.sigmoid()
        return tokens * opened[:, :, None, None]

    with torch.inference_mode():
        query, key, value = mixer.qkv(x).split(8, dim=1)
        context = mixer.dwc(gated(mixer.query_gates, query) + gated(mixer.key_gates, key))
        torch.testing.assert_close(mixer(x), mixer.proj(context * value), rtol=0, atol=1e-5)
