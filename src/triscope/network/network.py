"""A network that can be asked: a borrowed module, and what is known of its images and classes."""

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
from triscope.network.refusals import asking
from triscope.network.stated import Details, channels_of, channels_shown, preprocessing, require_known
from triscope.network.twin import TwinKeeper, parameters_and_buffers
from triscope.network.weights import Weights
from triscope.objectives.base import Need
from triscope.objectives.names import Class, class_index
from triscope.objectives.outputs import Task

_SIZES = 8  # other sizes than the usual one for which layers are remembered


class Network:
    """A PyTorch module with what it takes to ask it about images.

    The module is borrowed: it is never changed, and may go on being trained between questions. What is asked is a twin
    around the same weights, in eval mode (see `triscope.network.twin`).

    module      any nn.Module that takes images (B, channels, H, W). A result (B, K) means K classes; with any other,
                inner units can still be asked.
    mean, std   per channel, or one number for all of them, as used in training, for images in [0, 1]; left out: the
                module takes [0, 1] as it is.
    size        the usual input, in pixels: a number, or (rows, columns). 224 if left out.
    channels    how many channels it reads; as many as `mean` has, or its first convolution reads, if left out.
    show        the channels in which images are shown, counted from 0: (red, green, blue), or one number, in grey. If
                left out: all of 1 or 3; of 2, the first in red and the second in cyan; of more, the first three.
    classes     the class names, in order.
    output      which tensor of what the module returns is its output: "auto", a key or index, or a function; see
                `triscope.network.interface`.
    call        how the module is called, `lambda m, x: m(pixel_values=x)`; with the images alone, if left out.
    task        what the numbers of the output are: classes, probabilities, binary, labels, embedding, maps or
                boxes; as far as that is certain, if left out.
    details     what is seldom said: see `triscope.network.stated.Details`.
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
        self._drawing: tuple[nn.Module, bool, bool] | None = None  # whether it draws, and so from Python's generators
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
        #: What `load` has assumed of a bare module, because nobody has said it.
        self.assumed: tuple[str, ...] = ()

    @property
    def settings(self) -> dict[str, Any]:
        """All that was said of the module when the network was made but its source, to make another like it."""
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
        """The usual input, (rows, columns)."""
        return self.preprocess.size

    @property
    def device(self) -> torch.device:
        """Where the network's weights are."""
        return next(self._floats(), torch.empty(0)).device

    @property
    def dtype(self) -> torch.dtype:
        """The precision of the network's weights, in which it is asked: of the first that is more than a vector."""
        weights = (weight for weight in self._floats() if weight.ndim > 1)
        return next(weights, next(self._floats(), torch.empty(0))).dtype

    @property
    def sha256(self) -> str:
        """A hash of the weights: names, shapes, types and every number. Remembered while they stay the same."""
        return self._weights.sha256

    def fingerprint(self) -> Callable[[], str | None]:
        """The hash of the weights as they are now, for later: hashing takes longer than asking.

        Calling what comes back gives `sha256`, or None where the weights have been trained on in the meantime.
        """
        state = self._weights.versions()
        return lambda: self.sha256 if self._weights.versions() == state else None

    @property
    def layers(self) -> Layers:
        """The layers by name, in the order in which they finish.

        Found by one pass over two images, and again where the module's parts were replaced.
        """
        return self._layers_of(self._keeper.get())

    def _layers_of(self, twin: nn.Module, size: tuple[int, int] | None = None) -> Layers:
        """The layers for images of the usual size, or of another."""
        size = size or self.size
        with self._lock:
            if self._found is None or self._found[0] is not twin:
                self._found = (twin, {})
            known = self._found[1]
            if size not in known:
                grey = torch.full((1, self.channels, *size), 0.5, dtype=self.dtype, device=self.device)
                with asking(self, grey), self._keeper.running(), self._drawn(twin, 0):
                    findings = listen(twin, self.normalise, grey, self._interface)
                known[size] = findings.layers(twin, self.name, Stated(self.tokens, self.extra_tokens))
                for other in [other for other in known if other != self.size][:-_SIZES]:
                    del known[other]
            return known[size]

    def _has_layers_of(self, other: "Network") -> None:
        """Take over what was found of a network around the same modules, which differ in their number format alone."""
        twin = self._keeper.get()
        self._found, self._drawing = (twin, {self.size: other.layers}), (twin, other.random, False)

    def layer(self, name: str) -> Layer:
        """The layer `name`; raises LayerNotFound, with what is near or which calls there are."""
        return self.layers[name]

    def require_classifier(self) -> int:
        """How many classes there are. Raises NetworkError where the network cannot be asked about classes."""
        return classes_of(self, self.layers.answer)

    def count_classes(self) -> int:
        """How many classes an image, a position of the output or a box may be of. Raises NetworkError for none."""
        return count_classes(self, self.layers.answer)

    @property
    def task(self) -> Task:
        """What the numbers of the output are: as stated, or as far as that is certain (see `objectives.outputs`)."""
        return self._task or self.layers.answer.task

    def probabilities(self, output: Tensor) -> Tensor:
        """The probabilities that an output (B, K) stands for: (B, K). Raises NetworkError where it stands for none."""
        return probabilities(self, output)

    def class_index(self, name: Class) -> int:
        """The index of a class given by name or index. Raises ObjectiveError where there is none."""
        return class_index(name, self.classes, self.count_classes(), self.name)

    def class_name(self, index: int) -> str:
        """The name of a class; "class 7" where names are not known, "output 7" where it is none."""
        if self.classes and index < len(self.classes):
            return self.classes[index]
        return f"output {index}" if self.task in ("embedding", "number") else f"class {index}"

    def prepare(self, images: Images, fit: Fit = "crop") -> ImageBatch:
        """What the network sees of `images`: paths, PIL images, arrays, bytes, a tensor, or a list of these.

        A tensor (B, C, H, W) in [0, 1] is taken as it is; anything else is fitted: `crop` is the network's published
        resize and centre crop, `pad` shows the whole image on grey, `keep` leaves its size. Raises ImageError.
        """
        seen = prepare(images, self.preprocess, self.channels, fit)
        return ImageBatch(seen.images.to(self.device, self.dtype), seen.boxes, seen.sources)

    def normalise(self, images: Tensor) -> Tensor:
        """Images in [0, 1] as the module expects them; always a new tensor, so that the module may write to it."""
        return self._normalise(images)

    @property
    def random(self) -> bool:
        """Whether the network draws random numbers in a pass; known after its first one, False before that."""
        return self._drawing is not None and self._drawing[:2] == (self._keeper.get(), True)

    @contextmanager
    def _drawn(self, twin: nn.Module, seed: int) -> Iterator[Draws | None]:
        """A pass, or several, by a network that may draw: from a generator of its own, made from `seed`."""
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
        """What the network computes of `images` (B, C, H, W), in one pass stopped after the deepest layer needed.

        `needs` are layer names, or `Need`s (a layer and how it is pooled); "input" is the image before normalisation,
        "output" the module's result. Gradients flow back to `images` where they are asked for; with `leaf`, they flow
        to that layer instead, or to several, which are among the answers. With `rule`, every ReLU of the pass sends
        back what the rule says. `edits` change what inner layers give, as the module arranges it, before anything that
        follows sees it; they may make more images of one. What a network draws as it answers follows `seed`. Raises
        LayerNotFound, and NetworkError where the network cannot run on images of this size, or a layer has not one row
        for each image.
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
        calls = {name: layers[name].name for name in inner}  # a layer may be asked for under several names
        for name in sorted(inner):
            layers[name].require_pictures()
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
            # A mode slows all it sees: the pass alone.
            with asking(self, images), self._keeper.running(), followed as tally, self._drawn(twin, seed) as draws:
                output = tap.run(twin, self.normalise(images), watch if inner else None, self._interface)
            if draws and draws.unseeded:  # found out only now
                return self.look(images, wanted, leaf=leaf, rule=rule, edits=edits, seed=seed)
            shapes = watch.shapes
            kept |= {name: watch.kept[call] for name, call in calls.items() if call in watch.kept}
            if isinstance(output, Tensor):
                output = output.clone()  # a module may give what it writes to the next time
                kept["output"] = tap.as_leaf(output) if "output" in leaves else output
        if unseen := sorted(names - kept.keys()):
            if unseen == ["output"] and isinstance(output, NoOutput):
                raise NetworkError(f"{self.name} has no usable output: {output.why}.")
            raise NetworkError(
                f"{self.name} gave no tensor for {', '.join(unseen)} on this image, so they have no activations here."
            )
        layouts = {name: self._layout(twin, layers[name], (images.shape[-2], images.shape[-1])) for name in inner}
        if not edits:
            require_rows(names - {"input"}, layouts, kept, self)
        grids = {name: grid for name, shape in shapes.items() if (grid := layers[name].layout.rows_and_cols(shape))}
        return Look(layouts, wanted, kept, leaves, tally, grids)

    def _layout(self, twin: nn.Module, layer: Layer, size: tuple[int, int]) -> Layout:
        """How a layer is arranged for images of `size`: windows lie otherwise in every size."""
        if size == self.size or not (layer.layout.order or self._layers_of(twin).copied):
            return layer.layout
        return self._layers_of(twin, size)[layer.name].layout

    def try_on(self, inputs: Tensor) -> None:
        """Run the module on `inputs`, as it is given them; raises what it raises."""
        twin = self._keeper.get()
        with self._keeper.running(), self._drawn(twin, 0):
            self._interface(twin, inputs)

    @property
    def answer(self) -> Answer | None:
        """What was found of its output with its layers; None where nobody has looked for them yet."""
        return self._found[1][self.size].answer if self._found and self.size in self._found[1] else None

    @property
    def takes_one(self) -> bool:
        """Whether layers were found, and found to be of a network that takes one image at a time."""
        return self._found is not None and any(layers.single for layers in self._found[1].values())

    def _floats(self) -> Iterator[Tensor]:
        return (tensor for tensor in parameters_and_buffers(self.module) if tensor.is_floating_point())

    def __repr__(self) -> str:
        known = f", {len(self.classes)} classes" if self.classes else ""
        known += f", {self._interface}" if str(self._interface) else ""
        known += f", task {self._task}" if self._task else ""
        return f"<Network {self.name}: {self.channels} x {self.size[0]} x {self.size[1]}{known}>"

    def _repr_html_(self) -> str:
        """The line of `repr`, and the table of the layers folded up behind it, for notebooks."""
        line = html.escape(repr(self))
        try:
            return f"<details><summary>{line}</summary>{self.layers._repr_html_()}</details>"
        except NetworkError as error:
            return f"<p>{line}</p><p>{html.escape(str(error))}</p>"
