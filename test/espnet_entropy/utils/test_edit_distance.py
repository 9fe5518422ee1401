import numpy as np
import pytest

from espnet_entropy.utils.edit_distance import edit_distance


def slow(a, b):
    if not a or not b:
        return len(a) + len(b)
    return min(slow(a[1:], b) + 1, slow(a, b[1:]) + 1, slow(a[1:], b[1:]) + (a[0] != b[0]))


@pytest.mark.parametrize("alphabet", ["abc", [3, 1, 2], ["ɪ", "n", ""]])
def test_by_the_definition(alphabet):
    random = np.random.default_rng(0)
    for _ in range(30):
        first, second = ([alphabet[i] for i in random.integers(0, 3, n)] for n in (3, 5))
        for a, b in ((first, second), (second, first), (first, []), ([], second), ([], [])):
            assert edit_distance(a, b) == slow(a, b)
