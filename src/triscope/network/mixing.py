"""Networks whose answer for a picture depends on the pictures beside it.

Dynamic quantisation takes the range of its numbers from the whole batch, and so does whatever normalises over it. What
is kept of a picture may not depend on who was beside it, so such networks are shown one picture at a time.
"""

from collections.abc import Iterable

import torch

from triscope.network.network import Network

_MOST = 2e-3  # relative; what kernels for other numbers of pictures round differently is far below


def depends_on_others(network: Network, layers: Iterable[str]) -> str | None:
    """The first of these layers that gives something else for a picture that is faint, alone and among strong ones.

    None where there is none, or the network takes one picture at a time, or draws random numbers. Costs four pictures.
    """
    names = list(layers)
    if not names or network.layers.single or network.random:
        return None
    noise = torch.rand(3, network.channels, *network.size, generator=torch.Generator().manual_seed(0))
    noise[0] = 0.45 + 0.1 * noise[0]
    noise = noise.to(network.device, network.dtype)
    with torch.no_grad():
        among, alone = network.look(noise, names), network.look(noise[:1], names)
    for name in names:
        one = alone[name].float()
        if float((among[name][:1].float() - one).norm()) > _MOST * float(one.norm()) + 1e-30:
            return name
    return None
