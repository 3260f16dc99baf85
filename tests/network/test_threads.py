"""Threads may share a network: each gets its own answer, to the last bit."""

import threading
from concurrent.futures import ThreadPoolExecutor
from itertools import cycle, islice

import torch

import triscope as ts
from tests import nets

QUESTIONS = [
    (ts.saliency, None),
    (ts.saliency, "0:3"),
    (ts.guided_backprop, "3:2@1,4"),
    (ts.guided_backprop, 1),
    (ts.deconvnet, "max:4:1"),
    (ts.deconvnet, ts.Logit(0) - 0.5 * ts.Logit(2)),
    (ts.input_x_gradient, "prob:4"),
    (ts.saliency, ts.Energy("2") + ts.Channel("4", 5)),
]
MAPS, THREADS = 600, 4


def test_four_threads_and_600_maps():
    network = nets.network(nets.fill(nets.cnn()))
    images = torch.rand(16, 3, 5, 7)
    different = [(*question, image[None]) for image in images for question in QUESTIONS]
    jobs = list(islice(cycle(different), MAPS))

    def ask(job):
        method, objective, image = job
        return method(network, image, objective).values

    alone = list(islice(cycle([ask(job) for job in different]), MAPS))
    assert len({values.numpy().tobytes() for values in alone}) > 40  # the questions do differ
    network = nets.network(nets.fill(nets.cnn()))  # a fresh one: the threads also race for the twin and the layers
    start = threading.Barrier(THREADS)

    def work(share):
        start.wait()
        return [ask(job) for job in share]

    with ThreadPoolExecutor(THREADS) as pool:
        shares = list(pool.map(work, [jobs[offset::THREADS] for offset in range(THREADS)]))
    together = [shares[index % THREADS][index // THREADS] for index in range(MAPS)]
    assert sum(not torch.equal(one, other) for one, other in zip(alone, together, strict=True)) == 0


def test_a_thread_under_a_rule_does_not_bend_the_gradients_of_another():
    """One thread stands still inside a guided pass while the other asks for the plain gradient."""
    inside, asked = threading.Event(), threading.Event()

    class Waiting(torch.nn.Identity):
        def forward(self, x):
            if threading.current_thread() is not threading.main_thread():
                inside.set()
                assert asked.wait(60)
            return x

        def __deepcopy__(self, memo):
            return self

    module = nets.fill(nets.cnn())
    module[5] = Waiting()
    network, image = nets.network(module), torch.rand(1, 3, 5, 7)
    plain, guided = ts.saliency(network, image, 1).values, ts.guided_backprop(network, image, 1).values
    with ThreadPoolExecutor(1) as pool:
        other = pool.submit(ts.guided_backprop, network, image, 1)
        assert inside.wait(60)
        assert torch.equal(ts.saliency(network, image, 1).values, plain)
        asked.set()
        assert torch.equal(other.result().values, guided)
