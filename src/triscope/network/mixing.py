"""Networks whose activations for an image depend on the other images in the batch.

Dynamic quantisation determines its range from the whole batch, and some normalisations use it, too. Since the result
for an image must not depend on the batch, such networks are run on one image at a time.
"""

from collections.abc import Iterable, Mapping, Sequence
from contextvars import ContextVar
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from triscope.errors import NetworkError
from triscope.network.look import Look
from triscope.objectives.base import Need

if TYPE_CHECKING:
    from triscope.network.network import Network

_TOLERANCE = 1e-4  # relative; the same kernels run in both passes, so there should be no difference at all
_TRIED = 16  # layers that are tested, at equal distances

_trying: ContextVar[bool] = ContextVar("trying", default=False)


def depends_on_others(network: "Network", layers: Iterable[str]) -> str | None:
    """The first of these layers whose activations for a low-contrast image change with the contrast of the other image.

    None if there is none, or if the network takes one image at a time or draws random numbers. Runs on two batches of
    two images.
    """
    names = list(layers)
    if not names or network.layers.single or network.random:
        return None
    noise = torch.rand(3, network.channels, *network.size, generator=torch.Generator().manual_seed(0))
    noise[:2], noise[2] = 0.45 + 0.1 * noise[:2], noise[2].sqrt()
    noise = noise.to(network.device, network.dtype)
    token = _trying.set(True)
    try:
        with torch.no_grad():
            faint, strong = (network.look(noise[[0, other]], names) for other in (1, 2))
    finally:
        _trying.reset(token)
    for name in names:
        one = faint[name][:1].float()
        if float((strong[name][:1].float() - one).norm()) > _TOLERANCE * float(one.norm()) + 1e-30:
            return name
    return None


def one_by_one(
    network: "Network",
    images: Tensor,
    needs: Sequence[Need],
    leaves: Sequence[str],
    seed: int,
    rule: object,
    edits: Mapping[str, object],
) -> Look | None:
    """`Network.look` at several images one by one, combined; None if the network can run on them together.

    Raises NetworkError if it cannot, and the call needs a single pass: gradients at inner layers, rules, and edits
    (which may make several images of one).
    """
    names = {need.layer for need in needs}.union(leaves) - {"input"}
    if _trying.get() or not names:
        return None
    layer = _mixing(network)
    if layer is None:
        return None
    if rule or edits or set(leaves) - {"input"}:
        raise NetworkError(
            f"The activations of {network.name} in {layer} depend on the other images of the batch, so this cannot be "
            "computed for several images together; give one at a time."
        )
    images = images.to(network.device)
    if leaves:
        images = (images.clone() if images.is_inference() else images.detach()).requires_grad_()
    each = (images[place : place + 1] for place in range(len(images)))
    return Look.together([network.look(one, needs, seed=seed) for one in each], images, leaves)


def _mixing(network: "Network") -> str | None:
    """A layer whose activations for an image depend on the others in the batch, or None; tested once."""
    try:
        layers = network.layers
        if layers.mixing is None:
            fine = [name for name, layer in layers.items() if layer.layout.kind not in ("roi", "other")]
            inner = [name for name in fine if name != "output"]
            some = dict.fromkeys([*inner[:: -(-len(inner) // _TRIED) or 1], *inner[-1:], *fine[-1:]])
            layers.mixing = depends_on_others(network, some) or False
    except NetworkError:  # it does not run on images of its default size, but may on these
        return None
    return layers.mixing or None
