"""Products in bfloat16: right, and of few shapes, since PyTorch keeps half a megabyte for each."""

import pytest
import torch
from torch.overrides import TorchFunctionMode

from triscope.which.search.products import few_shapes, products


class Shapes(TorchFunctionMode):
    """The shapes that were multiplied in bfloat16."""

    def __init__(self):
        super().__init__()
        self.met = set()

    def __torch_function__(self, func, types, args=(), kwargs=None):
        if func in (torch.mv, torch.Tensor.mv, torch.Tensor.matmul, torch.matmul, torch.Tensor.__matmul__):
            one, other = args
            if one.dtype == torch.bfloat16:
                self.met.add((tuple(one.shape), tuple(other.shape)))
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("count", [0, 1, 63, 64, 65, 100, 300, 1000, 4095])
@pytest.mark.parametrize("several", [(), (1,), (5,), (20,), (0,)])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_they_are_the_sums_of_the_rounded_numbers(count, several, dtype):
    drawn = torch.Generator().manual_seed(count)
    rows = torch.randn(count, 24, generator=drawn).to(dtype)
    vectors = torch.randn(*several, 24, generator=drawn)
    found = products(rows, vectors)
    wanted = vectors.to(dtype).double() @ rows.double().T
    assert (found.shape, found.dtype) == ((*several, count), torch.float32)
    unit = max(torch.finfo(dtype).eps, 24 * torch.finfo(torch.float32).eps)  # of sums of 24 products, in float32
    bound = unit * (vectors.to(dtype).double().abs() @ rows.double().abs().T)
    assert ((found - wanted).abs() <= bound).all()


def test_searches_among_any_number_of_rows_multiply_few_shapes():
    rows, vectors = torch.randn(3000, 8).bfloat16(), torch.randn(40, 8)
    with Shapes() as shapes:
        for count in range(0, 3000, 7):
            products(rows[:count], vectors[0])
        for many in range(1, 41):
            products(rows, vectors[:many])
    assert len([one for one, _ in shapes.met if one[0] > 40]) == 6  # one vector: 64, 128, ... 2048 rows
    assert len({one for one, _ in shapes.met if one[0] <= 40}) == 17  # 1 to 8, 10, 12, 14, 16, 20, ... 40 vectors


def test_numbers_of_vectors_are_rounded_up_by_a_quarter_at_most():
    rounded = {count: few_shapes(count) for count in range(2000)}
    assert all(count <= up <= 1.25 * count for count, up in rounded.items())
    assert len(set(rounded.values())) == 5 + 4 * 9  # up to 4, and in each of nine octaves
