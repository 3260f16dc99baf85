"""Style transfer: a picture with the content of one and the style of another.

    d(x) = content * |F(x) - F0|^2 / |F0|^2  +  mean over layers of |G(x) - G0|^2 / |G0|^2

F are the activations of one layer, G the Gram matrices of several: content is what is where, style is what occurs with
what. With masks, each style has its own matrices, of the features within its mask, and counts as much as its share of
the picture; where no mask is, the content stays as it is.

**When it misleads.** Content and style are not apart in a picture, only in these two measures: with little weight on
content, style moves things; with much, nothing of the style is left but its colours. What counts as a stroke depends on
the size of the pictures as much as on the layers.

**Reference.** L. A. Gatys, A. S. Ecker, M. Bethge, "Image style transfer using convolutional neural networks", CVPR
2016; masks after L. A. Gatys and others, "Controlling perceptual factors in neural style transfer", CVPR 2017.

**Where ours departs.** Distances are relative to their target's energy; the paper's weights are the preset
`gatys2016`. It starts from the content, where the paper starts from noise (`start="noise"`). What is changed is the
picture's spectrum in decorrelated colours, kept in [0, 1] on the way. Several styles are matched by their mean Gram
matrix, which has the same optimum as the sum of their distances.
"""

from collections.abc import Callable, Generator, Sequence
from dataclasses import replace
from functools import partial
from typing import Annotated, Any, Literal

import torch
from torch import Tensor

from triscope.errors import ImageError, OptionError
from triscope.images import open_photo, resize
from triscope.methods import Range, Step, method
from triscope.network import Look, Network, Seen
from triscope.network.preprocess import Source, as_channels
from triscope.network.variants.precision import Precision, chosen
from triscope.network.variants.variant import Pooling, variant
from triscope.objectives.base import Need
from triscope.objectives.statistics import DISTANCES, Statistics, TextureDistance
from triscope.what.style.coarse_to_fine import (
    Level,
    Weave,
    Weighed,
    Woven,
    content_term,
    fitted,
    is_plain,
    level_sizes,
    noted,
    require_detail,
    require_positions,
    roughness_term,
    shares,
    shrunk,
    style_terms,
    weave,
    woven,
)
from triscope.what.style.color_transfer import in_colours_of, in_histograms_of, recoloured
from triscope.what.style.memory import means
from triscope.what.style.presets import (
    CONVENTIONS,
    Convention,
    Preset,
    content_layer,
    require_gram,
    style_layers,
    usual_content_weight,
)

_LAST = 0.75  # the part of the steps that the last octave has
_RECOLOURED = {"covariance": in_colours_of, "histogram": in_histograms_of}


@method("what")
def stylize(
    network: Network,
    content: Seen,
    style: Sequence[Seen],
    masks: Sequence[Seen] = (),
    *,
    size: Annotated[int, Range(8, 8192)] = 512,
    blend: str | None = None,
    content_weight: Annotated[float | None, Range(0, 1e12)] = None,
    style_weight: Annotated[float | None, Range(0, 1e12)] = None,
    tv: Annotated[float | None, Range(0, 1e12)] = None,
    style_scale: Annotated[float, Range(0.05, 20)] = 1.0,
    start: str = "content",
    colors: Literal["style", "luminance", "covariance", "histogram"] = "style",
    statistics: Statistics = "gram",
    layers: str | None = None,
    content_layers: str | None = None,
    preset: Preset = "triscope",
    pooling: Pooling | None = None,
    steps: Annotated[int, Range(1, 100_000)] = 120,
    octaves: Annotated[int, Range(1, 8)] = 2,
    optimiser: Literal["lbfgs", "adam"] = "lbfgs",
    rate: Annotated[float | None, Range(0, 1e6)] = None,
    seed: Annotated[int, Range(0, 2**62)] = 0,
    precision: Precision = "auto",
    memory: str | None = None,
    checkpoint: str | None = None,
) -> Generator[Step[Woven]]:
    """A picture with the content of one and the style of another, or of several (Gatys et al., 2016).

    Values (1, C, H, W) in [0, 1], with the relative error of each style layer's Gram matrix. Raises ImageError where a
    style is one colour all over or a mask is black, OptionError where content and style are one picture, the picture is
    too small for a layer, the preset is for another network, or there are not as many masks as styles.

    `masks` are pictures of the content's shape, one for each style: white where it goes, black where not, grey between.

    size              the picture's long side in pixels; its shape is the content's
    blend             how much of each style, as numbers with commas between them; the same of each if left out
    content_weight    weight of the content; the preset's if left out
    style_weight      weight of the style; the preset's if left out
    tv                weight of the prior against roughness, the sum of squared differences of neighbours; the preset's
                      if left out, and some where the network looks at every fourth pixel only, as AlexNet does
    style_scale       a style's long side, as a part of the picture's: larger makes larger strokes
    start             content, noise, or the path of a picture to start from
    colors            style; or the content's: luminance keeps only the light of the result, covariance gives the
                      style the content's mean and covariance before it is taken, histogram all of its distribution
    statistics        what of the style layers is matched: Gram matrices, covariances with means, or the normal
                      distributions with these (wasserstein)
    layers            the layers of the style, with commas between them: names, or words such as relu3_1
    content_layers    the layer of the content
    preset            layers and weights: triscope (relative, for any network), or those of a paper
    pooling           max or average; the preset's if left out
    steps             how many steps, in all octaves together
    octaves           how many sizes, each twice the one before, from coarse to fine
    optimiser         lbfgs or adam
    rate              how far a step goes
    seed              of the noise, where it starts from noise
    precision         auto (bfloat16 where the processor has it natively), float32 or bfloat16
    memory            what it may take, such as 2G or 800M; large pictures are then made in strips
    checkpoint        name of files to save the job to, one for each octave; it goes on from there if they exist
    """
    require_gram(preset, statistics)
    names = style_layers(network, CONVENTIONS[preset], layers)
    kept = content_layer(network, CONVENTIONS[preset], content_layers)
    if content_weight is None and preset == "triscope":
        content_weight = usual_content_weight(network, kept)
    convention = _convention(preset, content_weight, style_weight, tv, named=layers is not None)
    shares_of = _blend(blend, len(style))
    notes = _checked(content, style)
    number = chosen(precision, network.device) if network.dtype == torch.float32 else network.dtype
    asked = variant(network, pooling=pooling or convention.pooling, precision=number)
    photo = fitted(content.images.float(), size)
    examples = [fitted(one.images.float(), max(8, round(size * style_scale))) for one in style]
    if tv is None and preset == "triscope" and _skips(network, names):
        convention = replace(convention, tv=1 / photo.numel())
    if colors in _RECOLOURED:
        examples = [_RECOLOURED[colors](photo, one) for one in examples]
    rows, cols = photo.shape[-2:]
    covers = _covers(masks, style, photo)
    factors = level_sizes((rows, cols), octaves, examples)
    way = means(asked, [*names, kept], (rows, cols), optimiser, memory, whole=bool(covers))
    asked = way.network
    targets = _Targets(
        asked,
        photo,
        list(zip(shares_of, examples, strict=True)),
        covers,
        names,
        kept,
        DISTANCES[statistics],
        convention,
    )
    levels = [
        Level((max(1, round(rows * factor)), max(1, round(cols * factor))), count, partial(targets.at, factor))
        for factor, count in zip(factors, shares(steps, len(factors), _LAST), strict=True)
    ]
    require_positions(asked, torch.empty(1, network.channels, *levels[0].size, dtype=asked.dtype), [*names, kept])
    first, origin = _start(start, photo, levels[0].size, seed)
    sources = noted(content.sources, "content")
    sources += [note for one in style for note in noted(one.sources, "style")]
    sources += [note for one in masks for note in noted(one.sources, "mask")] + noted(origin, "start")
    label = repr([one.sha256 for one in sources])
    plan = Weave(asked, levels, way.optimiser, rate, seed, checkpoint, label, way.history)
    finish = _finish(photo, covers, luminance=colors == "luminance")
    for step, terms in weave(plan, first):
        yield woven(step, terms, asked, notes=notes, sources=sources, finish=finish)


class _Targets:
    """What is asked at each size."""

    def __init__(
        self,
        network: Network,
        photo: Tensor,
        examples: Sequence[tuple[float, Tensor]],
        covers: Sequence[Tensor],
        layers: Sequence[str],
        kept: str,
        kind: type[TextureDistance],
        convention: Convention,
    ) -> None:
        self.network = network
        self.photo, self.examples, self.covers = photo, examples, covers
        self.layers, self.kept = layers, kept
        self.kind, self.convention = kind, convention

    @torch.no_grad()
    def at(self, factor: float) -> list[Weighed]:
        """The terms at a size."""
        needs = self.kind.needs_of(self.layers)
        styles = [
            (share, self.kind.from_activations(self._look(one, factor, needs), self.layers))
            for share, one in self.examples
        ]
        terms = [] if self.covers else style_terms(self.kind.mixed(styles), self.convention)
        for number, ((share, one), cover) in enumerate(zip(styles, self.covers, strict=False), 1):
            # As much as the mask covers: so each place is asked as strongly to have its style as without masks.
            weight = len(styles) * share * float(cover.mean())
            terms += style_terms(one.within(cover, f"mask {number}"), self.convention, weight)
        if self.convention.content_weight:
            seen = self._look(self.photo, factor, [Need(self.kept)])
            terms.append(content_term(seen, self.kept, self.convention, self.convention.content_weight))
        if self.convention.tv:
            terms.append(roughness_term(self.convention.tv, shrunk(self.photo, factor).shape))
        return terms

    def _look(self, picture: Tensor, factor: float, needs: Sequence[Need]) -> Look:
        return self.network.look(shrunk(picture, factor).to(self.network.dtype), needs)


def _convention(
    preset: Preset, content: float | None, style: float | None, tv: float | None, *, named: bool
) -> Convention:
    """The preset, with the weights that were given."""
    given: dict[str, Any] = {
        "content_weight": content,
        "style_weight": style,
        "tv": tv,
        "weights": () if named else None,
    }
    return replace(CONVENTIONS[preset], **{name: value for name, value in given.items() if value is not None})


def _skips(network: Network, layers: Sequence[str]) -> bool:
    """Whether every one of these layers skips so many pixels that grain goes unseen."""
    spans = [network.layer(name).receptive_field.rows for name in layers]
    return all(span is not None and span.stride >= 4 for span in spans)


def _blend(text: str | None, count: int) -> list[float]:
    """How much of each style, 1 in all."""
    if count == 0:
        raise OptionError("stylize needs at least one style.")
    if text is None:
        return [1 / count] * count
    try:
        weights = [float(part) for part in text.split(",")]
    except ValueError as error:
        raise OptionError(f"blend is numbers with commas between them, such as 2,1; not {text!r}.") from error
    if len(weights) != count or not all(0 <= weight < float("inf") for weight in weights) or not sum(weights):
        raise OptionError(
            f"blend is {count} numbers from 0 up, not all of them 0, one for each style; {text!r} is not."
        )
    return [weight / sum(weights) for weight in weights]


def _checked(content: Seen, style: Sequence[Seen]) -> list[str]:
    """Notes on the pictures. Raises OptionError or ImageError where there is nothing to do with them."""
    if len(content) != 1 or any(len(one) != 1 for one in style):
        raise OptionError("stylize takes one content and one picture for each style.")
    for one in style:
        require_detail(one, "style")
        if one.images.shape == content.images.shape and torch.equal(one.images, content.images):
            raise OptionError(
                f"{one.sources[0].name} is both the content and the style, so there is nothing to transfer; give "
                "another style, or ask for its texture."
            )
    if is_plain(content.images):
        return [f"{content.sources[0].name} is one colour all over: only the style can be seen."]
    return []


def _covers(masks: Sequence[Seen], style: Sequence[Seen], photo: Tensor) -> list[Tensor]:
    """The masks (1, 1, H, W), of the photo's size."""
    if masks and len(masks) != len(style):
        raise OptionError(f"There are {len(masks)} masks for {len(style)} styles; give one for each, or none.")
    rows, cols = photo.shape[-2:]
    covers = []
    for seen in masks:
        name, (tall, wide) = seen.sources[0].name, seen.images.shape[-2:]
        if len(seen) != 1 or abs(tall * cols - wide * rows) > 0.02 * tall * cols:
            raise OptionError(
                f"The mask {name} is {wide} x {tall} pixels; a mask is one picture of the content's shape, as {cols} x "
                f"{rows} is."
            )
        cover = resize(seen.images.float().mean(1, keepdim=True), (rows, cols)).clamp(0, 1)
        if float(cover.max()) < 1 / 255:
            raise ImageError(
                f"The mask {name} is black all over, so its style goes nowhere; paint white where it is to go."
            )
        covers.append(cover)
    return covers


def _finish(photo: Tensor, covers: Sequence[Tensor], *, luminance: bool) -> Callable[[Tensor], Tensor]:
    """What is done to a picture before it is shown: the photo's colours, and the photo itself where no mask is."""
    coloured = partial(recoloured, photo) if luminance else torch.clone
    if not covers:
        return coloured
    cover = torch.stack(list(covers)).sum(0)

    def within(picture: Tensor) -> Tensor:
        size = picture.shape[-2], picture.shape[-1]
        return resize(photo, size).lerp(coloured(picture), resize(cover, size).clamp(0, 1))

    return within


def _start(start: str, photo: Tensor, size: tuple[int, int], seed: int) -> tuple[Tensor, list[Source]]:
    """The first picture, and its file where it has one of its own."""
    if start == "content":
        return photo, []
    if start == "noise":
        generator = torch.Generator().manual_seed(seed)
        noise = torch.randn(1, photo.shape[1], *size, generator=generator).to(photo.device)
        return (0.5 + 0.05 * noise).clamp(0, 1), []
    found = open_photo(start)
    pixels = resize(as_channels(found.pixels, photo.shape[1]), size).to(photo.device)
    return pixels, [Source(found.name, found.path, found.sha256)]
