"""Style transfer: an image with the content of one and the style of another.

    d(x) = content * |F(x) - F0|^2 / |F0|^2  +  mean over layers of |G(x) - G0|^2 / |G0|^2

F are the activations of one layer, G the Gram matrices of several: content is what is where, style is what occurs with
what. With masks, each style has its own matrices, of the features within its mask, and counts as much as its share of
the image; where no mask is, the content stays as it is.

**When it misleads.** Content and style are not apart in an image, only in these two measures: with little weight on
content, style moves things; with much, nothing of the style is left but its colours. What counts as a stroke depends on
the size of the images as much as on the layers.

**Reference.** L. A. Gatys, A. S. Ecker, M. Bethge, "Image style transfer using convolutional neural networks", CVPR
2016; masks after L. A. Gatys and others, "Controlling perceptual factors in neural style transfer", CVPR 2017.

**Where ours departs.** Distances are relative to their target's energy; the paper's weights are the preset
`gatys2016`. It starts from the content, where the paper starts from noise (`start="noise"`). What is changed is the
image's spectrum in decorrelated colours, kept in [0, 1] on the way. Several styles are matched by their mean Gram
matrix, which has the same optimum as the sum of their distances.
"""

from collections.abc import Callable, Generator, Sequence
from dataclasses import replace
from functools import partial
from typing import Annotated, Any, Literal

import torch
from torch import Tensor

from triscope.errors import ImageError, OptionError
from triscope.images import resize
from triscope.methods import Group, ImageInput, NetworkArg, Range, Step, method
from triscope.network import ImageBatch, Look, Network
from triscope.network.variants.configured import configured
from triscope.network.variants.precision import chosen
from triscope.objectives.base import Need
from triscope.objectives.statistics import DISTANCES, TextureDistance
from triscope.what.style.coarse_to_fine import (
    Level,
    Schedule,
    StyleResult,
    Term,
    content_term,
    fitted,
    is_plain,
    level_sizes,
    require_detail,
    require_positions,
    roughness_term,
    shares,
    shrunk,
    style_result,
    style_terms,
    synthesise,
)
from triscope.what.style.color_transfer import keep_luminance, match_covariance, match_histogram
from triscope.what.style.memory import plan_memory
from triscope.what.style.options import StyleLoss, Synthesis
from triscope.what.style.presets import (
    STYLE_PRESETS,
    StylePreset,
    content_layer,
    require_gram,
    style_layers,
    usual_content_weight,
)

_SIDES = (8, 8192)  # the least and the greatest long side of an image, in pixels
_LAST = 0.75  # the part of the steps that the last octave has
_RECOLOURED = {"covariance": match_covariance, "histogram": match_histogram}


@method("what")
def stylize(
    network: NetworkArg,
    content: Annotated[ImageBatch, ImageInput(fit="keep", fits=False, part="content", help="the content image")],
    style: Annotated[
        Sequence[ImageBatch],
        ImageInput(many=True, fit="keep", fits=False, separate=True, part="style", help="a style image"),
    ],
    masks: Annotated[
        Sequence[ImageBatch],
        ImageInput(
            many=True,
            fit="keep",
            fits=False,
            separate=True,
            part="mask",
            help="where a style is applied: an image, white there, black elsewhere; give one per style, in their order",
        ),
    ] = (),
    *,
    size: Annotated[int, Range(*_SIDES)] | Literal["content"] = 512,
    style_scale: Annotated[float, Range(0.05, 20)] = 1.0,
    start: Annotated[
        ImageBatch | str,
        ImageInput(
            fit="keep",
            fits=False,
            words=("content", "noise"),
            part="start",
            help="the initial image: content, noise, or an image file",
        ),
    ] = "content",
    colors: Literal["style", "luminance", "covariance", "histogram"] = "style",
    loss: Annotated[StyleLoss, Group()] = StyleLoss(),
    synthesis: Annotated[Synthesis, Group()] = Synthesis(),
) -> Generator[Step[StyleResult]]:
    """The content of one image in the style of another, or of several (Gatys et al., 2016).

    Values (1, C, H, W) in [0, 1], with the relative error of each style layer's Gram matrix. Raises ImageError if a
    style has a single colour or a mask is black, OptionError if content and style are the same image, the image is too
    small for a layer, the preset is for another network, or the number of masks differs from that of styles.

    A mask is an image of the content's shape that says where a style is applied: white fully, black not at all, grey in
    between.

    size              longer side of the image, in pixels, or content for the size of the content image
    style_scale       longer side of a style image, as a fraction of the result's: a larger value makes larger strokes
    colors            whose colours the result has: the style's (style), or the content's, in one of three ways:
                      luminance transfers the style's brightness only; covariance first gives the style image the
                      content's colour mean and covariance; histogram, its whole colour distribution
    """
    require_gram(loss.preset, loss.statistics)
    names = style_layers(network, STYLE_PRESETS[loss.preset], loss.layers)
    kept = content_layer(network, STYLE_PRESETS[loss.preset], loss.content_layers)
    preset = _preset(loss, usual_content_weight(network, kept))
    shares_of = _blend(loss.blend, len(style))
    notes = _checked(content, style)
    if colors == "luminance" and network.channels not in (1, 3):
        raise OptionError(
            f"colors=luminance keeps the light of red, green and blue, and {network.name} reads {network.channels} "
            "channels: use style, covariance or histogram."
        )
    if colors == "luminance" or masks:
        notes.append("Scores and errors are those of the image before the content was put back into it.")
    number = chosen(synthesis.precision, network) if network.dtype == torch.float32 else network.dtype
    asked = configured(network, pooling=loss.pooling or preset.pooling, precision=number)
    side = _long_side(content) if size == "content" else size
    photo = fitted(content.images.float(), side)
    examples = [fitted(one.images.float(), max(8, round(side * style_scale))) for one in style]
    if loss.tv is None and loss.preset == "triscope" and _skips(network, names):
        preset = replace(preset, tv=1 / photo.numel())
    if colors in _RECOLOURED:
        examples = [_RECOLOURED[colors](photo, one) for one in examples]
    rows, cols = photo.shape[-2:]
    covers = _covers(masks, style, photo)
    factors = level_sizes((rows, cols), synthesis.octaves, examples)
    way = plan_memory(asked, [*names, kept], (rows, cols), synthesis.optimiser, synthesis.memory, whole=bool(covers))
    asked = way.network
    targets = _Targets(
        asked,
        photo,
        list(zip(shares_of, examples, strict=True)),
        covers,
        names,
        kept,
        DISTANCES[loss.statistics],
        preset,
    )
    levels = [
        Level((max(1, round(rows * factor)), max(1, round(cols * factor))), count, partial(targets.at, factor))
        for factor, count in zip(factors, shares(synthesis.steps, len(factors), _LAST), strict=True)
    ]
    require_positions(asked, torch.empty(1, network.channels, *levels[0].size, dtype=asked.dtype), [*names, kept])
    first = _start(start, photo, levels[0].size, synthesis.seed)
    plan = Schedule(
        asked,
        levels,
        way,
        synthesis,
        {
            "content": content.sources[0].name,
            "style": [one.sources[0].name for one in style],
            "masks": [one.sources[0].name for one in masks],
            "start": start.sources[0].name if isinstance(start, ImageBatch) else start,
            "size": size,
            "style_scale": style_scale,
            "colors": colors,
            **vars(loss),
            **vars(synthesis),
        },
    )
    finish = _finish(photo, covers, luminance=colors == "luminance")
    for step, terms in synthesise(plan, first):
        yield style_result(step, terms, asked, notes=notes, finish=finish)


class _Targets:
    """The terms at each size."""

    def __init__(
        self,
        network: Network,
        photo: Tensor,
        examples: Sequence[tuple[float, Tensor]],
        covers: Sequence[Tensor],
        layers: Sequence[str],
        kept: str,
        kind: type[TextureDistance],
        preset: StylePreset,
    ) -> None:
        self.network = network
        self.photo, self.examples, self.covers = photo, examples, covers
        self.layers, self.kept = layers, kept
        self.kind, self.preset = kind, preset

    @torch.no_grad()
    def at(self, factor: float) -> list[Term]:
        """The terms at a size."""
        needs = self.kind.needs_of(self.layers)
        styles = [
            (share, self.kind.from_activations(self._look(one, factor, needs), self.layers))
            for share, one in self.examples
        ]
        terms = [] if self.covers else style_terms(self.kind.mixed(styles), self.preset)
        for number, ((share, one), cover) in enumerate(zip(styles, self.covers, strict=False), 1):
            # As much as the mask covers: so each position has the same weight of its style as without masks.
            weight = len(styles) * share * float(cover.mean())
            terms += style_terms(one.within(cover, f"mask {number}"), self.preset, weight)
        if self.preset.content_weight:
            seen = self._look(self.photo, factor, [Need(self.kept)])
            terms.append(content_term(seen, self.kept, self.preset, self.preset.content_weight))
        if self.preset.tv:
            terms.append(roughness_term(self.preset.tv, shrunk(self.photo, factor).shape))
        return terms

    def _look(self, picture: Tensor, factor: float, needs: Sequence[Need]) -> Look:
        return self.network.look(shrunk(picture, factor).to(self.network.dtype), needs)


def _preset(loss: StyleLoss, usual: float) -> StylePreset:
    """The preset, with the weights that were given; `usual` is the content's in the preset triscope."""
    content = usual if loss.content_weight is None and loss.preset == "triscope" else loss.content_weight
    given: dict[str, Any] = {
        "content_weight": content,
        "style_weight": loss.style_weight,
        "tv": loss.tv,
        "weights": None if loss.layers is None else (),
    }
    return replace(STYLE_PRESETS[loss.preset], **{name: value for name, value in given.items() if value is not None})


def _skips(network: Network, layers: Sequence[str]) -> bool:
    """Whether every one of these layers skips so many pixels that grain goes unseen."""
    spans = [network.layer(name).receptive_field.rows for name in layers]
    return all(span is not None and span.stride >= 4 for span in spans)


def _blend(weights: Sequence[float] | None, count: int) -> list[float]:
    """How much of each style, 1 in all."""
    if count == 0:
        raise OptionError("stylize needs at least one style.")
    if weights is None:
        return [1 / count] * count
    if len(weights) != count or not all(0 <= weight < float("inf") for weight in weights) or not sum(weights):
        raise OptionError(
            f"blend is {count} numbers from 0 up, not all of them 0, one for each style; {list(weights)} is not."
        )
    return [weight / sum(weights) for weight in weights]


def _checked(content: ImageBatch, style: Sequence[ImageBatch]) -> list[str]:
    """Notes on the images. Raises OptionError or ImageError where there is nothing to do with them."""
    if len(content) != 1 or any(len(one) != 1 for one in style):
        raise OptionError("stylize takes one content and one image for each style.")
    for one in style:
        require_detail(one, "style")
        if one.images.shape == content.images.shape and torch.equal(one.images, content.images):
            raise OptionError(
                f"{one.sources[0].name} is both the content and the style, so there is nothing to transfer; give "
                "another style, or use texture."
            )
    if is_plain(content.images):
        return [f"{content.sources[0].name} is one colour all over: only the style can be seen."]
    return []


def _covers(masks: Sequence[ImageBatch], style: Sequence[ImageBatch], photo: Tensor) -> list[Tensor]:
    """The masks (1, 1, H, W), of the photo's size."""
    if masks and len(masks) != len(style):
        raise OptionError(f"There are {len(masks)} masks for {len(style)} styles; give one for each, or none.")
    rows, cols = photo.shape[-2:]
    covers = []
    for seen in masks:
        name, (tall, wide) = seen.sources[0].name, seen.images.shape[-2:]
        if len(seen) != 1 or abs(tall * cols - wide * rows) > 0.02 * tall * cols:
            raise OptionError(
                f"The mask {name} is {wide} x {tall} pixels; a mask is one image of the content's shape, as {cols} x "
                f"{rows} is."
            )
        cover = resize(seen.images.float().mean(1, keepdim=True), (rows, cols)).clamp(0, 1)
        if float(cover.max()) < 1 / 255:
            raise ImageError(
                f"The mask {name} is black all over, so its style is used nowhere; make it white where the style is "
                "wanted."
            )
        covers.append(cover)
    return covers


def _finish(photo: Tensor, covers: Sequence[Tensor], *, luminance: bool) -> Callable[[Tensor], Tensor]:
    """What is done to an image before it is shown: the photo's colours, and the photo itself where no mask is."""
    coloured = partial(keep_luminance, photo) if luminance else torch.clone
    if not covers:
        return coloured
    cover = torch.stack(list(covers)).sum(0)

    def within(picture: Tensor) -> Tensor:
        size = picture.shape[-2], picture.shape[-1]
        return resize(photo, size).lerp(coloured(picture), resize(cover, size).clamp(0, 1))

    return within


def _long_side(content: ImageBatch) -> int:
    """The content's own long side in pixels. Raises OptionError where no image of that size is made."""
    side = max(content.images.shape[-2:])
    least, most = _SIDES
    if not least <= side <= most:
        raise OptionError(f"The content is {side} pixels long, and size lies in {least} to {most}: state one.")
    return side


def _start(start: ImageBatch | str, photo: Tensor, size: tuple[int, int], seed: int) -> Tensor:
    """The first image."""
    if start == "content":
        return photo
    if start == "noise":
        generator = torch.Generator().manual_seed(seed)
        noise = torch.randn(1, photo.shape[1], *size, generator=generator).to(photo.device)
        return (0.5 + 0.05 * noise).clamp(0, 1)
    assert isinstance(start, ImageBatch)
    return resize(start.images.float(), size)
