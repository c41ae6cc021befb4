"""What differs between what something was made from and what is wanted, by name."""

import json

from projects.storage.parameters import differences, digest


def test_nested_parameters_are_named_and_what_json_reads_back_is_the_same():
    now = {'seed': 0, 'size': {'tile_px': 256, 'shares': (0.5, 0.25)}, 'name': None}
    assert differences(json.loads(json.dumps(now)), now) == []
    before = {'seed': 1, 'size': {'tile_px': 256, 'shares': [0.5, 0.2]}, 'old': 'x', 'name': None}
    assert differences(before, now) == [
        'seed: 1 before, 0 now',
        'size.shares: [0.5, 0.2] before, [0.5, 0.25] now',
        "old: 'x' before, None now",
    ]


def test_a_group_that_became_a_value_differs():
    found = differences({'crop': {'size': 4}}, {'crop': 4})
    assert found == ['crop: None before, 4 now', 'crop.size: 4 before, None now']


def test_a_digest_tells_contents_apart_and_is_the_beginning_of_their_sha_256():
    assert digest([b'abc']) == digest(iter([b'a', b'', b'bc'])) == 'ba7816bf8f01cfea'  # FIPS 180-4's example
    assert digest([b'abd']) != digest([b'abc']) != digest([])
