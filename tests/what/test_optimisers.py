import pytest
import torch

from triscope.errors import NetworkError
from triscope.what.optimisation.lbfgs import Lbfgs
from triscope.what.optimisation.optimisers import Adam, Answer, Momentum

TARGET = torch.tensor([[0.2, -0.7, 1.5], [2.0, 0.1, -0.3]])


def bowl(numbers, only=None):
    """-|x - target|^2, with different curvatures: each picture's own."""
    target = TARGET if only is None else TARGET[only : only + 1]
    weights = torch.tensor([1.0, 5.0, 0.3])
    scores = -(weights * (numbers - target) ** 2).sum(1)
    return Answer(numbers[:, None, None], scores, {"bowl": scores}, -2 * weights * (numbers - target))


def optimise(optimiser, steps, ask=bowl, start=None):
    numbers = torch.zeros(2, 3) if start is None else start
    for _ in range(steps):
        numbers, answer = optimiser.advance(numbers, ask, 1.0)
    return numbers, answer


MAKERS = {
    "adam": lambda: Adam(0.05),
    "momentum": lambda: Momentum(0.05),
    "lbfgs": Lbfgs,
    "unsearched": lambda: Lbfgs(search=False),
}


def test_adam_is_adam():
    ours, _ = optimise(Adam(0.05), 20)
    theirs = torch.zeros(2, 3, requires_grad=True)
    reference = torch.optim.Adam([theirs], lr=0.05, eps=1e-12)
    for _ in range(20):
        theirs.grad = -bowl(theirs.detach()).gradient
        reference.step()
    torch.testing.assert_close(ours, theirs.detach(), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    ("optimiser", "steps"),
    [(Adam(0.05), 600), (Momentum(0.05), 300), (Lbfgs(), 30), (Lbfgs(search=False), 30)],
    ids=["adam", "momentum", "lbfgs", "unsearched"],
)
def test_every_optimiser_finds_the_top(optimiser, steps):
    numbers, _ = optimise(optimiser, steps)
    torch.testing.assert_close(numbers, TARGET, atol=1e-2, rtol=0)


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS.keys())
def test_a_batch_is_as_many_ascents(make):
    together, _ = optimise(make(), 8)
    for index in range(2):
        alone, _ = optimise(make(), 8, lambda numbers, only=None, index=index: bowl(numbers, index), torch.zeros(1, 3))
        torch.testing.assert_close(together[index : index + 1], alone)


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS.keys())
def test_what_is_saved_is_all_that_counts(make):
    expected, _ = optimise(make(), 9)
    first, second = make(), make()
    numbers, _ = optimise(first, 5)
    second.restore(first.state(), numbers)
    resumed, _ = optimise(second, 4, start=numbers)
    assert torch.equal(resumed, expected)


def test_lbfgs_needs_far_fewer_steps_than_adam_and_asks_no_point_twice():
    asked = []

    def counting(numbers, only=None):
        asked.append((only, *numbers.flatten().tolist()))
        return bowl(numbers, only)

    numbers, _ = optimise(Lbfgs(), 12, counting)
    torch.testing.assert_close(numbers, TARGET, atol=1e-3, rtol=0)
    assert len(asked) < 12 * 2 * 2
    consecutive = sum(one == other for one, other in zip(asked, asked[2:], strict=False))
    assert consecutive == 0


def test_without_a_search_lbfgs_asks_once_a_step_and_shortens_what_overshoots():
    """Rosenbrock's valley, upside down: full steps leave it again and again."""
    asked, losses = [], []

    def valley(numbers, only=None):
        leaf = numbers.clone().requires_grad_()
        x, y = leaf[:, 0], leaf[:, 1]
        scores = -((1 - x).square() + 100 * (y - x.square()).square())
        (gradient,) = torch.autograd.grad(scores.sum(), leaf)
        asked.append(None)
        return Answer(numbers[:, None, None], scores.detach(), {"valley": scores.detach()}, gradient)

    optimiser, numbers = Lbfgs(search=False), torch.tensor([[-1.2, 1.0]])
    for _ in range(80):
        numbers, answer = optimiser.advance(numbers, valley, 1.0)
        losses.append(-float(answer.scores))
    torch.testing.assert_close(numbers, torch.ones(1, 2), atol=1e-2, rtol=0)
    assert all(after <= max(losses[max(0, index - 4) : index + 1]) for index, after in enumerate(losses[1:]))
    assert len(asked) < 100
    assert optimiser.troubles == []


def test_lbfgs_raises_what_is_confined():
    numbers, _ = optimise(Lbfgs(confine=lambda x: x.clamp(0, 1)), 20)
    torch.testing.assert_close(numbers, TARGET.clamp(0, 1), atol=1e-3, rtol=0)


def test_momentum_starts_with_a_step_of_its_rate_whatever_the_scale():
    for scale in (1e-6, 1.0, 1e6):

        def ask(numbers, only=None, scale=scale):
            answer = bowl(numbers)
            return Answer(answer.pictures, answer.scores * scale, answer.terms, answer.gradient * scale)

        numbers, _ = Momentum(0.1).advance(torch.zeros(2, 3), ask, 1.0)
        assert numbers.square().mean(1).sqrt().tolist() == pytest.approx([0.1, 0.1])


def test_momentum_is_forgotten_when_the_rate_falls():
    optimiser = Momentum(0.1)
    numbers = torch.zeros(2, 3)
    for _ in range(4):
        numbers, answer = optimiser.advance(numbers, bowl, 1.0)
    unit = optimiser.state()["unit"]
    moved, answer = optimiser.advance(numbers, bowl, 0.1)
    torch.testing.assert_close(moved - numbers, 0.01 * answer.gradient / unit[:, None])


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS.keys())
def test_what_is_not_a_number_is_stepped_back_from_and_named(make):
    calls = []

    def sometimes(numbers, only=None):
        calls.append(None)
        answer = bowl(numbers, only)
        broken = torch.zeros(len(numbers), dtype=torch.bool)
        broken[-1] = 9 <= len(calls) <= 12 and only in (None, 1)
        scores = answer.scores.where(~broken, torch.nan)
        return Answer(answer.pictures, scores, {"bowl": scores}, answer.gradient.where(~broken[:, None], torch.nan))

    optimiser = make()
    numbers, _ = optimise(optimiser, 200, sometimes)
    assert numbers.isfinite().all()
    assert any("bowl was not a finite number" in said or "rolled back" in said for said, _ in optimiser.troubles)
    torch.testing.assert_close(numbers, TARGET, atol=0.3, rtol=0)


@pytest.mark.parametrize("make", [lambda: Adam(0.05), Lbfgs], ids=["adam", "lbfgs"])
def test_a_first_picture_that_is_not_a_number_is_an_error(make):
    def never(numbers, only=None):
        answer = bowl(numbers, only)
        return Answer(answer.pictures, answer.scores * torch.nan, {"bowl": answer.scores * torch.nan}, answer.gradient)

    with pytest.raises(NetworkError, match="bowl is not a finite number on the first image"):
        optimise(make(), 1, never)


def test_troubles_of_one_picture_leave_the_others_alone():
    def second_breaks(numbers, only=None):
        answer = bowl(numbers)
        second_breaks.calls += 1
        scores = answer.scores.clone()
        if second_breaks.calls == 4:
            scores[1] = torch.inf
        return Answer(answer.pictures, scores, {"bowl": scores}, answer.gradient)

    second_breaks.calls = 0
    numbers, _ = optimise(Adam(0.05), 12, second_breaks)
    expected, _ = optimise(Adam(0.05), 12)
    assert torch.equal(numbers[0], expected[0])
    assert not torch.equal(numbers[1], expected[1])
