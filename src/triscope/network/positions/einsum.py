"""`torch.einsum` of numbers that have places: its letters say along which dimensions they lie, and what is added up."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor

from triscope.network.positions.scattered import NOWHERE, Scattered


@dataclass(frozen=True)
class _Spread:
    """The places of one operand along the output's dimensions; its letters along which they differ, before and after
    adding up.
    """

    state: Scattered
    before: frozenset[str]
    after: frozenset[str]


def contracted(
    equation: str, operands: Sequence[Scattered | None], shapes: Sequence[Sequence[int]], output: Sequence[int]
) -> Scattered | None:
    """The places of a result of this shape; None where they cannot be told.

    As in a matrix product: where two operands have places along letters of their own (queries times keys) the numbers
    belong to pairs, and pairs that are added up along the places of another (attention times values) leave the places
    of the queries.
    """
    letters = _letters(equation, [len(shape) for shape in shapes])
    if letters is None or len(letters[-1]) != len(output):
        return None
    *inputs, result = letters
    spread = [_spread(state, names, result) for state, names in zip(operands, inputs, strict=True) if state is not None]
    found = [one for one in spread if one is not None]
    if not found or len(found) < len(spread):
        return None
    first = found[0].state
    if any((one.state.rows, one.state.cols) != (first.rows, first.cols) for one in found):
        return None
    placed = [one for one in found if bool((one.state.codes != NOWHERE).any())]
    most = max(placed, key=lambda one: len(one.after), default=None)
    if most is None:
        return None
    others = [one for one in found if one is not most]
    pairs = any(one.after - most.after for one in placed) or _still_pairs(most, others)
    return most.state.with_codes(most.state.codes, pairs=pairs)


def _still_pairs(one: _Spread, others: Sequence[_Spread]) -> bool:
    """Whether what belonged to pairs of places still does, because the keys' places were not added up."""
    return one.state.pairs and not any(other.before - other.after - one.before for other in others)


def _spread(state: Scattered, names: Sequence[str], result: Sequence[str]) -> _Spread | None:
    """An operand's places as they lie in the result; None where a dimension is there twice."""
    if len(set(names)) < len(names):
        return None
    before = _differing(state.codes, names)
    gone = [place for place, name in enumerate(names) if name not in result]
    left = state.reduced(gone, keepdim=True) if gone else state
    dims = {name: place for place, name in enumerate(names)}
    kept = [dims[name] for name in result if name in dims]
    codes = left.codes.permute(*kept, *gone)
    codes = codes.reshape(codes.shape[: len(kept)])
    lengths = iter(codes.shape)
    codes = codes.reshape([next(lengths) if name in dims else 1 for name in result])
    return _Spread(left.with_codes(codes), before, _differing(codes, result))


def _differing(codes: Tensor, names: Sequence[str]) -> frozenset[str]:
    return frozenset(name for name, length in zip(names, codes.shape, strict=True) if length > 1)


def _letters(equation: str, ndims: Sequence[int]) -> list[list[str]] | None:
    """The letters of each operand and of the result; those of an ellipsis are numbers, counted from the last."""
    given, arrow, wanted = equation.replace(" ", "").partition("->")
    parts = given.split(",")
    if len(parts) != len(ndims):
        return None
    counts = [ndim - len(part.replace("...", "")) for part, ndim in zip(parts, ndims, strict=True)]
    if any(count < 0 or (count and "..." not in part) for part, count in zip(parts, counts, strict=True)):
        return None
    inputs = [_named(part, count) for part, count in zip(parts, counts, strict=True)]
    if not arrow:  # in alphabetical order, what is there once
        times: Mapping[str, int] = {letter: given.count(letter) for letter in given if letter.isalpha()}
        wanted = "..." * ("..." in given) + "".join(sorted(letter for letter, count in times.items() if count == 1))
    return [*inputs, _named(wanted, max(counts))]


def _named(part: str, count: int) -> list[str]:
    before, dots, after = part.partition("...")
    return [*before, *(str(number) for number in range(count, 0, -1) if dots), *after]
