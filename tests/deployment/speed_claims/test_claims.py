import pytest
import timm
from mmengine.registry import MODELS
from torch import nn

import projects.efficient_models  # noqa: F401
from projects.deployment.benchmark.networks import TensorsOut
from projects.deployment.benchmark.results import Results
from projects.deployment.benchmark.run import Settings
from projects.deployment.benchmark.subjects import Subject, network_subject
from projects.deployment.benchmark.timing import Case, Measurement
from projects.deployment.speed_claims import run
from projects.deployment.speed_claims.claims import CLAIMS, UNMEASURED
from projects.deployment.speed_claims.report import measured_ratios, render_claims
from projects.deployment.speed_claims.rule import HOLDS, LESS, SLOWER, Claim, Network, Unmeasured
from projects.deployment.speed_claims.run import build, networks_of, parts_of, run_claims
from projects.efficient_models.layers.batch_norm_folding import fold_batch_norms

ALL = [claim for claims in CLAIMS.values() for claim in claims]
QUICK, STEADY = Network('Quick', 'timm:test_efficientnet', 64), Network('Steady', 'timm:test_byobnet', 64)
CLAIM = Claim('A, [1](x)', 'abstract', QUICK, STEADY, {'GPU': 2.0, 'CPU': 3.0, 'ONNX': 4.0})


def claim(**ratios):
    return Claim('A', 'abstract', QUICK, STEADY, ratios)


def times(network, runtime, *seconds):
    return Measurement(Case(network.label, runtime, 'fp32'), 1, 1, [[one] for one in seconds])


@pytest.mark.parametrize(
    ('measured', 'verdict'), [(3.01, HOLDS), (3.0, HOLDS), (2.99, LESS), (1.0, LESS), (0.99, SLOWER)]
)
def test_the_rule(measured, verdict):
    assert claim(CPU=3.0).verdict('eager', measured) == verdict


def test_each_runtime_is_compared_with_its_own_figure():
    assert CLAIM.device_for('onnxruntime') == 'ONNX'
    assert CLAIM.device_for('openvino') == CLAIM.device_for('eager') == 'CPU'
    assert claim(GPU=2.0, CPU=3.0).device_for('onnxruntime') == 'CPU'
    assert claim(GPU=2.0, ONNX=3.0).device_for('eager') == 'GPU'
    assert CLAIM.verdict('eager', 3.5) == HOLDS
    assert CLAIM.verdict('onnxruntime', 3.5) == LESS


def test_equal_speed_holds_within_rounding():
    assert claim(GPU=1.0).verdict('eager', 0.95) == HOLDS
    assert claim(GPU=1.0).verdict('eager', 0.94) == SLOWER


def test_figures_are_those_of_the_papers():
    found = {one.title: one.ratios for one in ALL}
    assert found['EfficientViT-M2 @224 vs MobileViT-XXS @256'] == {'GPU': 5.8, 'CPU': 3.7, 'ONNX': 7.4}
    assert found['EfficientViT-M5 @224 vs MobileNetV3-Large @224'] == {'GPU': 1.404, 'CPU': 1.452}
    assert found['SHViT-S4 @256 vs MobileViTv2-1.0 @256'] == {'GPU': 3.3, 'CPU': 8.1, 'iPhone 12': 2.4}
    fastvit = found['SHViT-S4 backbone @512 vs FastViT-SA12 backbone @512']  # abstract: 3.8 and 2.0
    assert (round(fastvit['GPU'], 1), round(fastvit['iPhone 12'], 1)) == (3.8, 2.0)
    assert found['EfficientViT-L1 @224 vs EfficientNetV2-S @384']['A100'] == pytest.approx(2.16, abs=0.01)


def test_all_papers_with_speed_claims_are_there():
    papers = ' '.join({one.paper for one in [*ALL, *UNMEASURED]})
    assert all(number in papers for number in ('2305.07027', '2401.16456', '2403.19963', '2205.14756', '2308.11421'))


def test_all_networks_exist():
    sources = {}
    for network in networks_of(ALL):
        assert sources.setdefault(network.label, network.source) == network.source
        if isinstance(network.source, str):
            kind, _, name = network.source.partition(':')
            backbone, _, arch = name.partition('/')
            assert timm.is_model(name) if kind == 'timm' else backbone in MODELS
            assert backbone != 'TimmBackbone' or timm.is_model(arch)
    for group in CLAIMS.values():
        for one in group:
            assert all(ratio >= 1 for ratio in one.ratios.values())


def test_segmentors_are_as_large_as_published():
    params = {
        name: sum(parameter.numel() for parameter in MODELS.build(network.source).parameters()) / 1e6
        for name, network in ((one.name, one) for one in networks_of(ALL) if isinstance(one.source, dict))
    }
    assert params['EfficientViT-L1 segmentor'] == pytest.approx(40.2, abs=0.1)
    assert params['SegFormer-B5'] == pytest.approx(82, abs=1)  # its authors' head is 768 wide: 84.7


def test_ratios_are_those_of_the_same_runtime():
    measured = [
        times(QUICK, 'eager', 1, 1, 1),
        times(STEADY, 'eager', 2, 3, 4),
        times(QUICK, 'openvino', 1, 1, 1),
    ]
    eager, openvino = measured_ratios(CLAIM, measured, [('eager', 'fp32'), ('openvino', 'fp32')])
    assert eager == (2.5, 3, 3.5)
    assert openvino is None


@pytest.fixture
def results(tmp_path):
    question = {'threads': [1], 'batch_sizes': [1]}
    results = Results(tmp_path / 'results.json', question)
    results.add(
        'group',
        [
            times(QUICK, 'eager', 1, 1, 1),
            times(STEADY, 'eager', 2, 3, 4),
            times(QUICK, 'onnxruntime', 1, 1, 1),
            times(STEADY, 'onnxruntime', 2, 3, 4),
            times(QUICK, 'openvino', 2, 2, 2),
            times(STEADY, 'openvino', 1, 1, 1),
        ],
    )
    return results


def test_the_table_shows_claimed_measured_and_verdict(results):
    noted = Claim('B, [2](y)', 'Table 1', STEADY, QUICK, {'GPU': 1.5}, 'a note')
    text = render_claims(
        results, {'group': [CLAIM, noted], 'to come': [CLAIM]}, [Unmeasured('C', 'so fast', 'no peer')]
    )
    header, _, first, second = (line for line in text.splitlines() if line.startswith('|'))
    assert header == '| claim | claimed | eager fp32 | ONNX Runtime fp32 | OpenVINO fp32 |'
    assert first == (
        '| A: Quick @64 vs Steady @64, abstract, batch 1 | GPU 2.00, CPU 3.00, ONNX 4.00 | ✓ 3.00 (2.50–3.50) | '
        '◐ 3.00 (2.50–3.50) | ✗ 0.50 (0.50–0.50) |'
    )
    assert second.startswith('| B: Steady @64 vs Quick @64, Table 1, batch 1 [1] | GPU 1.50 | ✗ 0.33 (')
    assert second.endswith('| ✓ 2.00 (2.00–2.00) |')
    assert '[1] a note.' in text
    assert '- C: so fast: no peer.' in text
    assert 'Claims that hold: eager 1 of 2, ONNX Runtime 0 of 2, OpenVINO 1 of 2.' in text
    assert results.data['machine']['processor'] in text
    assert '1 thread, ' in text


def build_tiny(network, fold):
    """A convolution in place of a network."""
    return network_subject(network.label, TensorsOut(nn.Conv2d(3, 4, 3)), (32, 32), None)


def test_a_network_is_built_under_its_label():
    subject = build(QUICK, fold_batch_norms)
    assert (subject.name, subject.size, subject.fold) == ('Quick @64', (64, 64), fold_batch_norms)


def test_networks_are_measured_in_groups_and_an_interrupted_run_continues(tmp_path, monkeypatch):
    groups = {'one': [CLAIM], 'two': [CLAIM]}
    settings = Settings(('eager', 'traced'), batch_sizes=(1,), rounds=1, memory=False)
    monkeypatch.setattr(run, 'measure_ceilings', lambda *_: None)
    monkeypatch.setattr(run, 'build', build_tiny)
    results = run_claims(tmp_path / 'a.json', settings, fold_batch_norms, lambda *_: None, groups)
    found = [one.case for one in results.measurements('one')]
    assert found == [Case(one.label, runtime, 'fp32') for one in (QUICK, STEADY) for runtime in settings.runtimes]
    del results.data['measurements']['two']
    results.save()
    built = []

    def build_again(network, fold):
        built.append(network)
        return build_tiny(network, fold)

    monkeypatch.setattr(run, 'build', build_again)
    again = run_claims(tmp_path / 'a.json', settings, fold_batch_norms, lambda *_: None, groups)
    assert built == [QUICK, STEADY]
    assert again.measurements('one') == results.measurements('one')
    assert again.has('two')


def test_openvino_computes_in_bf16_too_unless_precisions_are_chosen():
    first, second = parts_of(Settings(('eager', 'openvino')))
    assert (first.runtimes, first.precisions) == (('eager', 'openvino'), ())
    assert (second.runtimes, second.precisions) == (('openvino',), ('bf16',))
    for settings in (Settings(('eager',)), Settings(('eager', 'openvino'), precisions=('fp32',))):
        assert parts_of(settings) == [settings]


def test_batches_are_those_of_the_authors_unless_one_is_chosen(tmp_path, monkeypatch):
    sizes = []

    def measure(subjects, settings, batch_size, *rest):
        sizes.append(batch_size)
        return [times(QUICK, 'eager', 1)]

    monkeypatch.setattr(run, 'measure', measure)
    monkeypatch.setattr(run, 'build', lambda network, fold: Subject(network.label, (64, 64)))
    monkeypatch.setattr(run, 'measure_ceilings', lambda *_: None)
    groups = {'SHViT': [CLAIM], 'EfficientMod': [CLAIM]}
    for number, batch_sizes in enumerate([(), (4,)]):
        settings = Settings(('eager',), batch_sizes=batch_sizes)
        run_claims(tmp_path / f'{number}.json', settings, fold_batch_norms, lambda *_: None, groups)
    assert sizes == [16, 1, 4, 4]
