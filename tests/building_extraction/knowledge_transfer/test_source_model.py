import pytest
import torch

HOOK = {'type': 'SourceModel', 'config': 'configs/buildings/teacher.py'}


@pytest.fixture
def source(tmp_path, build, network):
    path = tmp_path / 'source' / 'iter_2.pth'
    path.parent.mkdir()
    torch.save({'meta': {}, 'state_dict': build(network(), seed=5).state_dict()}, path)
    return path


def test_training_begins_with_the_whole_source_model(tmp_path, train, network, source):
    still = {'type': 'SGD', 'lr': 0.0}
    runner = train(tmp_path / 'run', network(), load_from=str(source), custom_hooks=[HOOK], optimizer=still)
    weights = torch.load(source)['state_dict']
    assert all(torch.equal(value, weights[name]) for name, value in runner.model.named_parameters())
    assert all(parameter.requires_grad for parameter in runner.model.parameters())


def test_a_missing_source_model_is_refused_with_the_command_that_trains_it(tmp_path, train, network, source):
    missing = source.with_name('iter_9.pth')
    with pytest.raises(
        FileNotFoundError, match=r'holds iter_2.pth. Train it: python tools/train.py configs/buildings/teacher.py'
    ):
        train(tmp_path / 'run', network(), load_from=str(missing), custom_hooks=[HOOK])
    with pytest.raises(ValueError, match='load_from=CHECKPOINT'):
        train(tmp_path / 'other', network(), custom_hooks=[HOOK])


def test_a_source_model_with_another_head_is_refused(tmp_path, train, network, source):
    with pytest.raises(ValueError, match=r'(?s)does not fit the network.*missing: decode_head.*left over: decode_head'):
        train(tmp_path / 'run', network('PSPNet'), load_from=str(source), custom_hooks=[HOOK])


def test_a_resumed_training_does_not_ask_for_the_source_model(tmp_path, train, network, source):
    whole = train(tmp_path / 'whole', network(), load_from=str(source), custom_hooks=[HOOK])
    train(tmp_path / 'half', network(), iters=2, load_from=str(source), custom_hooks=[HOOK])
    source.unlink()
    resumed = train(tmp_path / 'half', network(), resume=tmp_path / 'half' / 'iter_2.pth', custom_hooks=[HOOK])
    weights = whole.model.state_dict()
    assert all(torch.equal(value, weights[key]) for key, value in resumed.model.state_dict().items())
