"""Layers' answers are compared number by number, however few are looked at first."""

import pytest
import torch

from triscope.network.comparing import equal, numbers_of, silent

SHAPES = [(), (1,), (50,), (7, 6), (3, 5, 7), (2, 3, 4, 5), (0, 4)]
DTYPES = [torch.float32, torch.float16, torch.bfloat16]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES)
def test_one_other_number_anywhere_is_found(shape, dtype):
    zeros = torch.zeros(shape, dtype=dtype)
    assert silent(numbers_of(zeros))
    assert equal(numbers_of(zeros), numbers_of(-zeros))
    for place in range(zeros.numel()):
        one = zeros.clone()
        one.view(-1)[place] = 1
        assert not silent(numbers_of(one))
        assert not equal(numbers_of(zeros), numbers_of(one))
        assert equal(numbers_of(one), numbers_of(one.clone()))


def test_what_is_no_number_equals_nothing():
    wrong = torch.tensor([1.0, torch.nan])
    assert not equal(numbers_of(wrong), numbers_of(wrong.clone()))
    assert not silent(numbers_of(wrong))


def test_parts_and_turned_tensors_are_compared_in_place():
    values = torch.rand(6, 5, 4)
    for view in (values.transpose(0, 2), values[:, 1:3], values[::2], values[:, :1].expand(6, 5, 4)):
        other = view.clone()
        assert equal(numbers_of(view), numbers_of(other))
        other[-1, -1, -1] += 1
        assert not equal(numbers_of(view), numbers_of(other))
