"""Models to a hub and back; the hub is a small server of this test, which answers as huggingface.co does."""

import base64
import hashlib
import importlib.util
import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import cv2
import huggingface_hub
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from projects.deployment.export.onnx_files import describe
from projects.deployment.export.stac_item import stac_item
from projects.deployment.hub import Address, from_pretrained, push_to_hub
from projects.deployment.model_info import SEGMENTATION, ModelInfo
from projects.deployment.predictor import open_predictor

ROOT = Path(__file__).parents[2]
TOKEN = 'hf_secretsecretsecretsecretsecretsecr'
INFO = ModelInfo(
    SEGMENTATION,
    ('dark', 'bright'),
    ((0, 0, 0), (255, 255, 255)),
    (0, 0, 0),
    (1, 1, 1),
    output='labels',
    config='bright',
)


class Hub(BaseHTTPRequestHandler):
    """Repositories as dicts of commits; the newest is the last. `server.denied`: status and code of an error."""

    def log_message(self, *args):
        pass

    def answer(self, status, content=b'', headers=()):
        content = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        for name, value in {'Content-Length': str(len(content)), **dict(headers)}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != 'HEAD':
            self.wfile.write(content)

    def commit(self, repo, revision):
        """(commit, files), or None after an answer that there is none."""
        if self.server.denied:
            status, code = self.server.denied
            return self.answer(status, {'error': 'denied'}, {'X-Error-Code': code} if code else {})
        commits = self.server.repos.get(repo)
        if not commits:
            return self.answer(401, {'error': 'Invalid username or password.'}, {'X-Error-Code': 'RepoNotFound'})
        revision = list(commits)[-1] if revision == 'main' else revision
        if revision not in commits:
            return self.answer(404, {'error': 'no revision'}, {'X-Error-Code': 'RevisionNotFound'})
        return revision, commits[revision]

    def do_HEAD(self):
        self.do_GET()

    def do_GET(self):
        path = self.path.partition('?')[0]
        if found := re.fullmatch(r'/api/models/([^/]+/[^/]+)/(revision|tree)/([^/]+)/?', path):
            repo, what, revision = found.groups()
            if (known := self.commit(repo, revision)) is None:
                return
            sha, files = known
            listed = [
                {'type': 'file', 'path': name, 'size': len(content), 'oid': hashlib.sha1(content).hexdigest()}
                for name, content in files.items()
            ]
            siblings = [{'rfilename': name} for name in files]
            self.answer(200, listed if what == 'tree' else {'id': repo, 'sha': sha, 'siblings': siblings, 'tags': []})
        elif found := re.fullmatch(r'/([^/]+/[^/]+)/resolve/([^/]+)/(.+)', path):
            repo, revision, name = found.groups()
            if (known := self.commit(repo, revision)) is None:
                return
            sha, files = known
            if name not in files:
                self.answer(404, {'error': 'no entry'}, {'X-Error-Code': 'EntryNotFound'})
                return
            self.server.fetched.append(name)
            etag = hashlib.sha1(files[name]).hexdigest()
            self.answer(200, files[name], {'ETag': f'"{etag}"', 'X-Repo-Commit': sha})
        else:
            self.answer(404, {'error': path})

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get('Content-Length', 0)))
        if self.headers.get('Authorization') != f'Bearer {TOKEN}':
            self.answer(401, {'error': 'Invalid username or password.'})
        elif self.path == '/api/repos/create':
            given = json.loads(body)
            repo = f'{given["organization"]}/{given["name"]}' if given.get('organization') else given['name']
            self.server.repos.setdefault(repo, {})
            self.answer(200, {'url': f'{self.server.url}/{repo}', 'name': repo})
        elif self.path == '/api/validate-yaml':
            self.answer(200, {'errors': [], 'warnings': []})
        elif '/preupload/' in self.path:
            names = [file['path'] for file in json.loads(body)['files']]
            modes = [{'path': name, 'uploadMode': 'regular', 'shouldIgnore': False} for name in names]
            self.answer(200, {'files': modes})
        elif found := re.fullmatch(r'/api/models/([^/]+/[^/]+)/commit/main', self.path):
            lines = [json.loads(line) for line in body.splitlines()]
            files = {
                line['value']['path']: base64.b64decode(line['value']['content'])
                for line in lines
                if line['key'] == 'file'
            }
            commits = self.server.repos[found[1]]
            before = list(commits.values())[-1] if commits else {}
            sha = hashlib.sha1(body).hexdigest()
            commits[sha] = before | files
            url = f'{self.server.url}/{found[1]}/commit/{sha}'
            self.answer(200, {'success': True, 'commitOid': sha, 'commitUrl': url})
        else:
            self.answer(404, {'error': self.path})


@pytest.fixture
def hub(tmp_path, monkeypatch):
    server = ThreadingHTTPServer(('127.0.0.1', 0), Hub)
    server.repos, server.fetched, server.denied = {}, [], None
    server.url = f'http://127.0.0.1:{server.server_port}'
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setattr(huggingface_hub.constants, 'ENDPOINT', server.url)
    template = server.url + '/{repo_id}/resolve/{revision}/{filename}'
    monkeypatch.setattr(huggingface_hub.constants, 'HUGGINGFACE_CO_URL_TEMPLATE', template)
    monkeypatch.setattr(huggingface_hub.constants, 'HF_HUB_CACHE', str(tmp_path / 'cache'))
    monkeypatch.setattr(huggingface_hub.constants, 'HF_HUB_OFFLINE', False)
    monkeypatch.setenv('HF_TOKEN', TOKEN)
    yield server
    server.shutdown()
    server.server_close()


def write_model(folder, threshold=100, name='model.onnx'):
    """A file that labels pixels whose red is above a threshold, and what stands beside it."""
    folder.mkdir(exist_ok=True)
    path = folder / name
    nodes = [
        helper.make_node('Gather', ['images', 'red'], ['reds'], axis=3),
        helper.make_node('Greater', ['reds', 'threshold'], ['is_bright']),
        helper.make_node('Cast', ['is_bright'], ['labels'], to=TensorProto.UINT8),
    ]
    values = [
        helper.make_tensor('red', TensorProto.INT64, [], [0]),
        helper.make_tensor('threshold', TensorProto.UINT8, [], [threshold]),
    ]
    images = helper.make_tensor_value_info('images', TensorProto.UINT8, ['b', 'h', 'w', 3])
    labels = helper.make_tensor_value_info('labels', TensorProto.UINT8, ['b', 'h', 'w'])
    graph = helper.make_graph(nodes, 'bright', [images], [labels], values)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid('', 17)], ir_version=8)
    describe(model, INFO)
    onnx.save(model, path)
    card = path.with_name(f'{name}.md')
    card.write_text('---\nlibrary_name: skyline\n---\n\n# Bright\n')
    item = stac_item(INFO, path, [card], architecture='a threshold', num_parameters=1)
    path.with_name(f'{name}.stac.json').write_text(json.dumps(item))
    return path


def bright(predictor):
    image = np.zeros((40, 40, 3), np.uint8)
    image[:20] = 150
    return predictor.predict_image(image).labels.mean()


def test_a_model_goes_up_and_comes_down(hub, tmp_path):
    pushed = push_to_hub(write_model(tmp_path / 'here'), 'me/bright')
    (commit,) = hub.repos['me/bright']
    assert pushed == f'hf://me/bright@{commit}'
    assert set(hub.repos['me/bright'][commit]) == {'model.onnx', 'model.onnx.md', 'model.onnx.stac.json', 'README.md'}
    assert hub.repos['me/bright'][commit]['README.md'].startswith(b'---\nlibrary_name: skyline')
    file = from_pretrained('hf://me/bright')
    assert file.parent.name == commit
    assert set(hub.fetched) == {'model.onnx', 'model.onnx.stac.json'}, 'nothing else is fetched'
    assert bright(open_predictor('hf://me/bright')) == 0.5


def test_a_graph_comes_down_with_its_weights(hub, tmp_path):
    for name in ('model.xml', 'model.bin', 'model.xml.md'):
        (tmp_path / name).write_bytes(name.encode())
    item = stac_item(INFO, tmp_path / 'model.xml', [tmp_path / 'model.xml.md'], architecture='', num_parameters=1)
    (tmp_path / 'model.xml.stac.json').write_text(json.dumps(item))
    push_to_hub(tmp_path / 'model.xml', 'me/graph')
    file = from_pretrained('hf://me/graph')
    assert file.read_text() == 'model.xml'
    assert file.with_suffix('.bin').read_text() == 'model.bin'


def test_a_commit_stays_what_it_was(hub, tmp_path):
    first = push_to_hub(write_model(tmp_path / 'first'), 'me/bright')
    push_to_hub(write_model(tmp_path / 'second', threshold=200), 'me/bright')
    assert bright(open_predictor('hf://me/bright')) == 0
    assert bright(open_predictor(first)) == 0.5


def test_without_a_network_the_cache_serves(hub, tmp_path, monkeypatch):
    pushed = push_to_hub(write_model(tmp_path / 'here'), 'me/bright')
    from_pretrained('hf://me/bright')
    monkeypatch.setattr(huggingface_hub.constants, 'ENDPOINT', 'http://127.0.0.1:9')
    for address in ('hf://me/bright', pushed):
        assert from_pretrained(address).is_file()
    with pytest.raises(FileNotFoundError, match='hf://me/other: the hub cannot be reached'):
        from_pretrained('hf://me/other')


def test_one_of_several_models_is_named(hub, tmp_path):
    push_to_hub(write_model(tmp_path / 'here'), 'me/bright')
    push_to_hub(write_model(tmp_path / 'here', threshold=200, name='other.onnx'), 'me/bright')
    with pytest.raises(ValueError, match=r'2 models; name one: hf://me/bright/model\.onnx'):
        from_pretrained('hf://me/bright')
    assert from_pretrained('hf://me/bright/other.onnx').name == 'other.onnx'
    with pytest.raises(FileNotFoundError, match=r'no such model there, but model\.onnx, other\.onnx'):
        from_pretrained('hf://me/bright/third.onnx')


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (lambda files: files | {'model.onnx': b'another'}, r'model\.onnx has the SHA-256 .*ask who pushed it'),
        (lambda files: {'weights.pth': b'pickle'}, 'holds no model'),
        (lambda files: {'model.onnx.stac.json': b'{'}, 'is no JSON'),
        (lambda files: {'model.onnx.stac.json': b'{}'}, 'none that tools/export.py has written'),
        (
            lambda files: {
                name: content.replace(b'./model.onnx"', b'./../../model.onnx"') for name, content in files.items()
            },
            r'expected one \.onnx.*nothing was opened',
        ),
        (
            lambda files: {name: content.replace(b'./model.onnx"', b'./model.pth"') for name, content in files.items()},
            r'got model\.pth; nothing was opened',
        ),
        (lambda files: {n: c for n, c in files.items() if n != 'model.onnx'}, 'names is not there'),
    ],
    ids=['changed', 'foreign', 'broken', 'empty', 'outside', 'pickle', 'incomplete'],
)
def test_what_is_not_as_it_was_pushed_is_refused(hub, tmp_path, change, message):
    push_to_hub(write_model(tmp_path / 'here'), 'me/bright')
    ((commit, files),) = hub.repos['me/bright'].items()
    hub.repos['me/bright'][commit] = change(files)
    with pytest.raises((ValueError, FileNotFoundError), match=message) as raised:
        from_pretrained('hf://me/bright')
    assert '\n' not in str(raised.value)


@pytest.mark.parametrize(
    ('denied', 'kind', 'message'),
    [
        (None, FileNotFoundError, 'no such repository, or a private one'),
        ((403, 'GatedRepo'), PermissionError, 'may not be read with the token'),
        ((403, None), PermissionError, 'may not be read with the token'),
        ((500, None), OSError, 'the hub answered 500; try again later'),
    ],
    ids=['absent or private', 'gated', 'forbidden', 'broken'],
)
def test_a_refusal_is_one_line_without_the_token(hub, denied, kind, message):
    hub.denied = denied
    with pytest.raises(kind, match=message) as raised:
        from_pretrained('hf://me/absent')
    assert '\n' not in str(raised.value)
    assert TOKEN not in str(raised.value)


def test_an_unknown_revision_is_named(hub, tmp_path):
    push_to_hub(write_model(tmp_path / 'here'), 'me/bright')
    with pytest.raises(FileNotFoundError, match='no revision v2'):
        from_pretrained('hf://me/bright@v2')


def test_who_may_not_push_is_told(hub, tmp_path, monkeypatch):
    monkeypatch.setenv('HF_TOKEN', 'hf_wrong')
    with pytest.raises(PermissionError, match='may not be written to') as raised:
        push_to_hub(write_model(tmp_path / 'here'), 'me/bright')
    assert 'hf_wrong' not in str(raised.value)
    assert not hub.repos


def test_what_was_changed_since_the_export_is_not_pushed(hub, tmp_path):
    path = write_model(tmp_path / 'here')
    path.with_name('model.onnx.md').write_text('nicer')
    with pytest.raises(ValueError, match=r'model\.onnx\.md is not what was exported'):
        push_to_hub(path, 'me/bright')
    path.with_name('model.onnx.md').unlink()
    with pytest.raises(FileNotFoundError, match='export it again'):
        push_to_hub(path, 'me/bright')
    path.with_name('model.onnx.stac.json').unlink()
    with pytest.raises(FileNotFoundError, match=r'no .*model\.onnx\.stac\.json'):
        push_to_hub(path, 'me/bright')


def test_addresses():
    assert Address.parse('hf://me/my.model') == ('me/my.model', None, None)
    assert Address.parse('hf://me/model@v1/file.onnx') == ('me/model', 'v1', 'file.onnx')
    assert Address.parse('hf://me/model/file.onnx') == ('me/model', None, 'file.onnx')
    for wrong in ('hf://model', 'https://me/model', 'hf://me/model/a/b.onnx'):
        with pytest.raises(ValueError, match='expected hf://USER/NAME'):
            Address.parse(wrong)


def test_predict_takes_an_address(hub, tmp_path, capsys):
    push_to_hub(write_model(tmp_path / 'here'), 'me/bright')
    spec = importlib.util.spec_from_file_location('predict', ROOT / 'tools' / 'predict.py')
    predict = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(predict)
    cv2.imwrite(str(tmp_path / 'photo.png'), np.full((40, 40, 3), 150, np.uint8))
    out = tmp_path / 'out'
    predict.main(['hf://me/bright', str(tmp_path / 'photo.png'), '--out', str(out), '--write', 'masks'])
    assert '1 of 1 inputs' in capsys.readouterr().out
    with pytest.raises(SystemExit, match='predict: hf://me/absent: no such repository'):
        predict.main(['hf://me/absent', str(tmp_path / 'photo.png'), '--out', str(tmp_path / 'other')])
