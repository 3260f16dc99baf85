"""The class `Network`: a PyTorch module with the preprocessing and the classes that it needs."""

import html
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any, Unpack

import torch
from torch import Tensor, nn

from triscope.errors import NetworkError
from triscope.network import tap
from triscope.network.answers import Answer, classes_of, count_classes, probabilities
from triscope.network.backward_rules import Rule, following
from triscope.network.draws import Draws
from triscope.network.finding import Stated, listen
from triscope.network.interface import Call, Interface, NoOutput, Output
from triscope.network.layers import Layer, Layers
from triscope.network.layout import Layout
from triscope.network.look import Look, require_rows
from triscope.network.mixing import one_by_one
from triscope.network.normalisation import Normalisation, Statistic
from triscope.network.preprocess import Fit, ImageBatch, Images, prepare
from triscope.network.refusals import explained_errors
from triscope.network.stated import Details, channels_of, channels_shown, preprocessing, require_known
from triscope.network.twin import TwinKeeper, parameters_and_buffers
from triscope.network.weights import Weights
from triscope.objectives.base import Need
from triscope.objectives.names import Class, class_index
from triscope.objectives.outputs import Task

_SIZES = 8  # image sizes other than the default for which layers are kept


class Network:
    """A PyTorch module with the preprocessing and the classes that methods need.

    The module is never changed, and may be trained further between calls. triscope runs a twin of it around the same
    weights, in eval mode (see `triscope.network.twin`).

    module      an nn.Module that takes images (B, channels, H, W); an output (B, K) is taken for K classes.
    mean, std   the normalisation used in training, per channel or one number for all, for images in [0, 1]. Default:
                none, the module gets values in [0, 1].
    size        default size of images, in pixels: a number, or (rows, columns). Default: 224.
    channels    number of channels of images. Default: as many as `mean` has, or as the first convolution reads.
    show        the channels in which images are shown, from 0: (red, green, blue), or one number, in grey. Default: all
                of 1 or 3; of 2, the first in red and the second in cyan; of more, the first three.
    classes     the class names, in order.
    output      which tensor of the module's return value is its output: "auto", a key or index, or a function; see
                `triscope.network.interface`.
    call        how the module is called, `lambda m, x: m(pixel_values=x)`. Default: with the images alone.
    task        what the output is: classes, probabilities, binary, labels, embedding, number, maps or boxes; see
                `triscope.objectives.outputs`. Default: found from examples, as far as that is certain.
    details     further arguments: see `triscope.network.stated.Details`.

    Raises NetworkError if an argument is wrong, or the module is scripted or traced.
    """

    def __init__(
        self,
        module: nn.Module,
        *,
        mean: Statistic | None = None,
        std: Statistic | None = None,
        size: int | tuple[int, int] | None = None,
        channels: int | None = None,
        show: int | Sequence[int] | None = None,
        classes: Sequence[str] | None = None,
        output: Output = "auto",
        call: Call | None = None,
        task: Task | None = None,
        **details: Unpack[Details],
    ) -> None:
        if not isinstance(module, nn.Module):
            raise NetworkError(f"A Network is made from a torch.nn.Module, not from {type(module).__name__}.")
        require_known(details)
        name = details.get("name")
        self._keeper = TwinKeeper(module, name or type(module).__name__)
        self._lock = threading.RLock()
        self._found: tuple[nn.Module, dict[tuple[int, int], Layers]] | None = None
        #: The twin, whether it draws random numbers, and whether also from the generators of Python or NumPy.
        self._drawing: tuple[nn.Module, bool, bool] | None = None
        self.module = self._keeper.module
        self._weights = Weights(self.module)
        self.name = name or type(self.module).__name__
        self.preprocess = preprocessing(size, details)
        self.channels = channels or channels_of(self.module, self.size, mean, std)
        self.show = channels_shown(show, self.channels)
        self._normalise = Normalisation(mean, std, self.channels)
        self.mean, self.std = self._normalise.mean, self._normalise.std
        self.classes = tuple(classes) if classes is not None else None
        self.tokens, self.extra_tokens = details.get("tokens"), details.get("extra_tokens")
        source = details.get("source")
        self.source = dict(source) if source else None
        self.missing = frozenset(details.get("missing", ()))
        self._interface = Interface(call, output)
        self._task = task
        #: The assumptions of `load` on a module for which nothing was stated, as texts.
        self.assumed: tuple[str, ...] = ()

    @property
    def settings(self) -> dict[str, Any]:
        """The keyword arguments for another network like this one, without its source."""
        return {
            "mean": self.mean,
            "std": self.std,
            "size": self.size,
            "channels": self.channels,
            "show": self.show,
            "resize": self.preprocess.resize,
            "interpolation": self.preprocess.interpolation,
            "classes": self.classes,
            "tokens": self.tokens,
            "extra_tokens": self.extra_tokens,
            "name": self.name,
            "missing": self.missing,
            "output": self._interface.output,
            "call": self._interface.call,
            "task": self._task,
        }

    @property
    def size(self) -> tuple[int, int]:
        """The default size of images, (rows, columns)."""
        return self.preprocess.size

    @property
    def device(self) -> torch.device:
        """The device of the weights."""
        return next(self._floats(), torch.empty(0)).device

    @property
    def dtype(self) -> torch.dtype:
        """The dtype of the weights and of images: that of the first parameter with more than one axis."""
        weights = (weight for weight in self._floats() if weight.ndim > 1)
        return next(weights, next(self._floats(), torch.empty(0))).dtype

    @property
    def sha256(self) -> str:
        """The SHA-256 of the weights: names, shapes, types and values. Cached while they are unchanged."""
        return self._weights.sha256

    def fingerprint(self) -> Callable[[], str | None]:
        """A function that computes `sha256` later, since that takes long; None if weights have changed since now."""
        state = self._weights.versions()
        return lambda: self.sha256 if self._weights.versions() == state else None

    @property
    def layers(self) -> Layers:
        """The layers by name, in the order in which they finish.

        Found by one pass over two images, and again if parts of the module were replaced.
        """
        return self._layers_of(self._keeper.get())

    def _layers_of(self, twin: nn.Module, size: tuple[int, int] | None = None) -> Layers:
        """The layers for images of `size`, by default the network's."""
        size = size or self.size
        with self._lock:
            if self._found is None or self._found[0] is not twin:
                self._found = (twin, {})
            known = self._found[1]
            if size not in known:
                grey = torch.full((1, self.channels, *size), 0.5, dtype=self.dtype, device=self.device)
                with explained_errors(self, grey), self._keeper.running(), self._drawn(twin, 0):
                    findings = listen(twin, self.normalise, grey, self._interface)
                known[size] = findings.layers(twin, self.name, Stated(self.tokens, self.extra_tokens))
                for other in [other for other in known if other != self.size][:-_SIZES]:
                    del known[other]
            return known[size]

    def _has_layers_of(self, other: "Network") -> None:
        """Take over the layers of a network with the same modules, which may differ in their dtype."""
        twin = self._keeper.get()
        self._found, self._drawing = (twin, {self.size: other.layers}), (twin, other.random, False)

    def layer(self, name: str) -> Layer:
        """The layer `name`. Raises LayerNotFound, which names similar layers or the calls of a module."""
        return self.layers[name]

    def require_classifier(self) -> int:
        """The number of classes of an image. Raises NetworkError if the output is not one score per class."""
        return classes_of(self, self.layers.answer)

    def count_classes(self) -> int:
        """The number of classes of an image, an output position or a box. Raises NetworkError if there are none."""
        return count_classes(self, self.layers.answer)

    @property
    def task(self) -> Task:
        """What the output is: as stated, else as found (see `triscope.objectives.outputs`)."""
        return self._task or self.layers.answer.task

    def probabilities(self, output: Tensor) -> Tensor:
        """The probabilities for an output (B, K): (B, K). Raises NetworkError if it is an embedding or a number."""
        return probabilities(self, output)

    def class_index(self, name: Class) -> int:
        """The index of a class given by name or index. Raises ObjectiveError if there is none, or several."""
        return class_index(name, self.classes, self.count_classes(), self.name)

    def class_name(self, index: int) -> str:
        """The name of a class; "class 7" without names, "output 7" if the outputs are not classes."""
        if self.classes and index < len(self.classes):
            return self.classes[index]
        return f"output {index}" if self.task in ("embedding", "number") else f"class {index}"

    def prepare(self, images: Images, fit: Fit = "crop") -> ImageBatch:
        """Preprocess `images`: paths, PIL images, arrays, bytes, a tensor, or a list of these.

        A tensor (B, C, H, W) in [0, 1] is used as it is. Anything else is fitted: `crop` is the network's published
        resizing and centre crop, `pad` puts the whole image on grey, `keep` leaves its size. Raises ImageError if an
        image cannot be read, or sizes differ.
        """
        seen = prepare(images, self.preprocess, self.channels, fit)
        return ImageBatch(seen.images.to(self.device, self.dtype), seen.boxes, seen.sources)

    def normalise(self, images: Tensor) -> Tensor:
        """Images in [0, 1], normalised for the module; always a new tensor, so that the module may write to it."""
        return self._normalise(images)

    @property
    def random(self) -> bool:
        """Whether the network draws random numbers in a pass. Known after the first pass; False before."""
        return self._drawing is not None and self._drawing[:2] == (self._keeper.get(), True)

    @contextmanager
    def _drawn(self, twin: nn.Module, seed: int) -> Iterator[Draws | None]:
        """Context of passes in which random numbers follow `seed`; yields None if the network draws none."""
        known = self._drawing if self._drawing is not None and self._drawing[0] is twin else None
        if known is not None and not known[1]:
            yield None
            return
        with Draws(seed, python=known is not None and known[2]) as draws:
            yield draws
        if known is None or draws.unseeded:
            self._drawing = (twin, draws.drew, draws.unseeded)

    def look(
        self,
        images: Tensor,
        needs: Iterable[Need | str],
        *,
        leaf: str | Sequence[str] | None = None,
        rule: Rule | None = None,
        edits: Mapping[str, Callable[[Tensor], Tensor]] | None = None,
        seed: int = 0,
    ) -> Look:
        """The activations for `images` (B, C, H, W), in one pass that stops after the deepest layer needed.

        needs   layers or `Need`s; "input" is the image before normalisation, "output" the module's output
        leaf    layers that gradients flow to, which are added to the needs; by default `images` if they require them
        rule    a backward rule, such as that of guided backprop
        edits   functions that change outputs of inner layers, as the module arranges them; may return more images
        seed    of random numbers that the network draws

        Raises LayerNotFound, and NetworkError if the network cannot run on these images, or a layer does not have one
        row per image.
        """
        wanted = [Need(need) if isinstance(need, str) else need for need in needs]
        leaves = (leaf,) if isinstance(leaf, str) else tuple(leaf or ())
        edits = edits or {}
        names = {need.layer for need in wanted}.union(leaves)
        inner = names.union(edits) - {"input", "output"}
        if (len(images) > 1 or edits) and (alone := one_by_one(self, images, wanted, leaves, seed, rule, edits)):
            return alone
        twin = self._keeper.get()
        layers = self._layers_of(twin) if inner else dict[str, Layer]()
        calls = {name: layers[name].name for name in inner}  # a layer may have several names
        for name in sorted(inner):
            layers[name].require_image_rows()
        images = images.to(self.device)
        if leaves:
            images = images.clone() if images.is_inference() else images.detach()
            images.requires_grad_("input" in leaves)
        kept: dict[str, Tensor] = {"input": images}
        tally, output = None, None
        shapes: dict[str, tuple[int, ...]] = {}
        if names - {"input"}:
            watch = tap.Watch(
                wanted=frozenset(calls[name] for name in names & inner),
                leaves=frozenset(calls[name] for name in inner.intersection(leaves)),
                edits={calls[name]: edit for name, edit in edits.items()},
                to_the_end="output" in names,
                measured=frozenset(source for name in inner if (source := layers[name].layout.source)),
            )
            followed = following(rule) if rule else nullcontext()
            # Modes slow down all calls, so only the pass is run in them.
            run = self._keeper.running()
            with explained_errors(self, images), run, followed as tally, self._drawn(twin, seed) as drew:
                output = tap.run(twin, self.normalise(images), watch if inner else None, self._interface)
            if drew and drew.unseeded:  # known only after the pass, which is repeated
                return self.look(images, wanted, leaf=leaf, rule=rule, edits=edits, seed=seed)
            shapes = watch.shapes
            kept |= {name: watch.kept[call] for name, call in calls.items() if call in watch.kept}
            if isinstance(output, Tensor):
                output = output.clone()  # a module may return a tensor that it overwrites in the next pass
                kept["output"] = tap.as_leaf(output) if "output" in leaves else output
        if unseen := sorted(names - kept.keys()):
            if unseen == ["output"] and isinstance(output, NoOutput):
                raise NetworkError(f"{self.name} has no usable output: {output.why}.")
            raise NetworkError(
                f"{self.name} did not compute {', '.join(unseen)} for this image, so there are no activations."
            )
        layouts = {name: self._layout(twin, layers[name], (images.shape[-2], images.shape[-1])) for name in inner}
        if not edits:
            require_rows(names - {"input"}, layouts, kept, self)
        grids = {name: grid for name, shape in shapes.items() if (grid := layers[name].layout.rows_and_cols(shape))}
        return Look(layouts, wanted, kept, leaves, tally, grids)

    def _layout(self, twin: nn.Module, layer: Layer, size: tuple[int, int]) -> Layout:
        """The layout of a layer for images of `size`; that of windows depends on it."""
        if size == self.size or not (layer.layout.order or self._layers_of(twin).copied):
            return layer.layout
        return self._layers_of(twin, size)[layer.name].layout

    def try_on(self, inputs: Tensor) -> None:
        """Run the module on normalised `inputs`; raises what the module raises."""
        twin = self._keeper.get()
        with self._keeper.running(), self._drawn(twin, 0):
            self._interface(twin, inputs)

    @property
    def answer(self) -> Answer | None:
        """The description of the output that was found with the layers; None if they have not been found yet."""
        return self._found[1][self.size].answer if self._found and self.size in self._found[1] else None

    @property
    def takes_one(self) -> bool:
        """Whether the network was found to take one image at a time; False if layers have not been found yet."""
        return self._found is not None and any(layers.single for layers in self._found[1].values())

    def _floats(self) -> Iterator[Tensor]:
        return (tensor for tensor in parameters_and_buffers(self.module) if tensor.is_floating_point())

    def __repr__(self) -> str:
        known = f", {len(self.classes)} classes" if self.classes else ""
        known += f", {self._interface}" if str(self._interface) else ""
        known += f", task {self._task}" if self._task else ""
        return f"<Network {self.name}: {self.channels} x {self.size[0]} x {self.size[1]}{known}>"

    def _repr_html_(self) -> str:
        """The line of `repr`, with the table of layers folded below it, for notebooks."""
        line = html.escape(repr(self))
        try:
            return f"<details><summary>{line}</summary>{self.layers._repr_html_()}</details>"
        except NetworkError as error:
            return f"<p>{line}</p><p>{html.escape(str(error))}</p>"
