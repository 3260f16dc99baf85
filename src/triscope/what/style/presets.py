"""Presets: the layers for content and style, and the weights of the papers.

Every paper scales its Gram matrices and losses in its own way, so a weight of one means nothing in another. Here every
loss is relative (see `FeatureDistance`, `GramDistance`), and a preset says by what to multiply the relative loss
of a layer so that it is the paper's:

    style     w * g(C) * |G - G0|^2,    G = F F^T / M                 content   w * f(C, M) * |F - F0|^2

                  g(C)        f(C, M)
    triscope      1/|G0|^2    1/|F0|^2     relative; the mean over layers
    gatys2015     1/(4 C^2)                texture: 1/(4 C^2 M^2) on sums over positions
    gatys2016     1/(4 C^2)   1/2          style and content
    johnson2016   1/C^2       1/(C M)      G divided by C M, its squared Frobenius norm; on VGG-16
    neural-style  1/C^4       1/(C M)      G divided by C M, then the mean over its C^2 entries
    tutorial      1/C^4       1/(C M)      the same, PyTorch's layers and weights
    cs231n        1/C^2       1            G divided by C M; on SqueezeNet 1.1

Layers are named in words (`relu4_2`, `pool3`), which are counted in the network: see `layer_names`.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from torch import nn

from triscope.errors import LayerNotFound, ObjectiveError, OptionError
from triscope.network import Network
from triscope.network.stages import depths
from triscope.network.variants.configured import Pooling

Preset: TypeAlias = Literal["triscope", "gatys2015", "gatys2016", "johnson2016", "neural-style", "tutorial", "cs231n"]


@dataclass(frozen=True)
class StylePreset:
    """A paper's layers and weights.

    style, content    the layers, in words; none: those of the network's family
    weights           one for each style layer
    gram, feature     what |G - G0|^2 and |F - F0|^2 are multiplied by, for C channels and M positions; none: relative
    style_weight, content_weight   what the sums over layers are multiplied by
    tv                what the sum of squared differences of neighbouring pixels in [0, 1] is multiplied by
    pooling           how the paper's network pools
    """

    style: tuple[str, ...] = ()
    weights: tuple[float, ...] = ()
    content: str | None = None
    gram: Callable[[int], float] | None = None
    feature: Callable[[int, int], float] | None = None
    style_weight: float = 1.0
    content_weight: float = 0.0
    tv: float = 0.0
    pooling: Pooling = "max"


def _fifth(channels: int) -> float:
    return 1 / (4 * channels**2)


def _square(channels: int) -> float:
    return 1 / channels**2


def _fourth(channels: int) -> float:
    return 1 / channels**4


def _half(channels: int, positions: int) -> float:
    del channels, positions
    return 0.5


def _mean(channels: int, positions: int) -> float:
    return 1 / (channels * positions)


def _sum(channels: int, positions: int) -> float:
    del channels, positions
    return 1.0


_FIVE = ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1")

STYLE_PRESETS: dict[Preset, StylePreset] = {
    "triscope": StylePreset(),
    "gatys2015": StylePreset(
        ("relu1_1", "pool1", "pool2", "pool3", "pool4"), (1.0,) * 5, gram=_fifth, pooling="average"
    ),
    "gatys2016": StylePreset(
        _FIVE, (0.2,) * 5, "relu4_2", gram=_fifth, feature=_half, style_weight=1e3, content_weight=1.0,
        pooling="average",
    ),
    "johnson2016": StylePreset(
        ("relu1_2", "relu2_2", "relu3_3", "relu4_3"), (1.0,) * 4, "relu2_2", gram=_square, feature=_mean,
        style_weight=5.0, content_weight=1.0,
    ),
    "neural-style": StylePreset(
        _FIVE, (1.0,) * 5, "relu4_2", gram=_fourth, feature=_mean, style_weight=1e2, content_weight=5.0,
        tv=0.5e-3 * 255**2,  # the paper's pixels reach 255, and its gradient is that of half the squares
    ),
    "tutorial": StylePreset(
        ("conv1_1", "conv2_1", "conv3_1", "conv4_1", "conv5_1"), (1.0,) * 5, "conv4_2", gram=_fourth, feature=_mean,
        style_weight=1e6, content_weight=1.0,
    ),
    "cs231n": StylePreset(
        ("features.1", "features.4", "features.6", "features.7"), (300_000.0, 1_000.0, 15.0, 3.0), "features.3",
        gram=_square, feature=_sum, content_weight=6e-2,
        tv=2e-2 / 0.226**2,  # the course's pixels are divided by a spread of .229, .224, .225
    ),
}  # fmt: skip


def layer_names(network: Network) -> Mapping[str, str]:
    """Words for the layers of a network whose `features` are convolutions, ReLUs and poolings in a row.

    `relu3`, `conv3`, `pool3` are the third of their kind; `relu3_1` is the first after the second pooling.
    """
    features = getattr(network.module, "features", None)
    if not isinstance(features, nn.Sequential):
        return {}
    return dict(_words(features))


def _words(features: nn.Sequential) -> Iterator[tuple[str, str]]:
    kinds = {"conv": nn.Conv2d, "relu": nn.ReLU, "pool": nn.MaxPool2d | nn.AvgPool2d}
    counts = dict.fromkeys(kinds, 0)
    inside = dict.fromkeys(kinds, 0)
    block = 1
    for name, part in features.named_children():
        word = next((word for word, kind in kinds.items() if isinstance(part, kind)), None)
        if word is None:
            continue
        counts[word] += 1
        inside[word] += 1
        yield f"{word}{counts[word]}", f"features.{name}"
        if word != "pool":
            yield f"{word}{block}_{inside[word]}", f"features.{name}"
        else:
            block, inside = block + 1, dict.fromkeys(kinds, 0)


def style_layers(network: Network, preset: StylePreset, named: Sequence[str] | None = None) -> list[str]:
    """The layers whose texture is taken: those named, or the preset's.

    Raises LayerNotFound for a layer that the network does not have, OptionError where the preset is for another.
    """
    if named is not None:
        return [_found(network, word) for word in named]
    if preset.style:
        return [_meant(network, word, preset) for word in preset.style]
    words = layer_names(network)
    for row in (_FIVE, ("relu1", "relu2", "relu3", "relu4", "relu5")):
        if all(word in words for word in row):
            return [words[word] for word in row]
    if type(network.module).__name__ == "SqueezeNet":
        return [_found(network, word) for word in ("features.1", "features.4", "features.6", "features.7")]
    maps = _maps(network)
    if not maps:
        raise ObjectiveError(f"{network.name} has no layer of maps whose texture could be taken.")
    return maps


def require_gram(preset: Preset, statistics: str) -> None:
    """Raise OptionError where a paper's weights do not fit the statistics."""
    if statistics != "gram" and STYLE_PRESETS[preset].gram:
        raise OptionError(
            f"The weights of the preset {preset} are made for Gram matrices; ask for {statistics} with the preset "
            "triscope."
        )


def content_layer(network: Network, preset: StylePreset, named: str | None = None) -> str:
    """The layer whose activations are kept: the one named, or the preset's."""
    if named is not None:
        return _found(network, named)
    if preset.content:
        return _meant(network, preset.content, preset)
    words = layer_names(network)
    for word in ("relu4_2", "relu3"):
        if word in words:
            return words[word]
    if type(network.module).__name__ == "SqueezeNet":
        return _found(network, "features.6")
    maps = _maps(network)
    if not maps:
        raise ObjectiveError(f"{network.name} has no layer of maps for the content.")
    return maps[len(maps) * 2 // 3]


def usual_content_weight(network: Network, layer: str) -> float:
    """Of the preset triscope: less for VGG's relu4_2, which holds edges so well that strokes stay off them."""
    return 0.02 if layer_names(network).get("relu4_2") == layer else 0.05


def _maps(network: Network) -> list[str]:
    return [name for name in depths(network) if network.layer(name).layout.kind != "vector"]


def _found(network: Network, word: str) -> str:
    if word not in network.layers and word in (words := layer_names(network)):
        return words[word]
    return network.layer(word).name


def _meant(network: Network, word: str, preset: StylePreset) -> str:
    try:
        return _found(network, word)
    except LayerNotFound as error:
        name = next(name for name, known in STYLE_PRESETS.items() if known is preset)
        raise OptionError(
            f"The preset {name} reads {word}, and {network.name} has no such layer. Use the preset triscope, which "
            "fits any network, or name layers."
        ) from error
