"""The command of a method, made from its declarations: inputs become arguments and options, options become options."""

import re
from collections.abc import Sequence
from functools import partial
from typing import Any, get_args

import click

from triscope.cli.beside import beside_options
from triscope.cli.common import network_options, out_options, recorded_options, saying_options, with_shared_options
from triscope.cli.on_the_way import way_options
from triscope.cli.plain import PlainOption
from triscope.cli.run import run
from triscope.methods import (
    ImageInput,
    LayerInput,
    Method,
    NetworkInput,
    ObjectiveInput,
    Option,
    QueryInput,
    StoreInput,
)
from triscope.methods.inputs import Declared
from triscope.results import Heatmap, Style
from triscope.verbs import METHODS
from triscope.which.collection import CollectionInput

_UNIT = "a class, LAYER:CHANNEL, LAYER:CHANNEL@ROW,COLUMN, or a sum such as 'tabby - 0.5*tiger cat'"
_IMAGE = "IMAGE is a file or - for stdin. A folder, a pattern, a CSV file or a store stands for all its images."
#: The shape of a tensor, as docstrings give it: (B, C, H, W), (k,).
_SHAPE = re.compile(r"\s\([A-Za-z0-9]{1,2},(?: [A-Za-z0-9]{1,2},?)*\)")
_STORE = "STORE is a folder that `triscope index` made, or the folder of images that contains it."


def command(name: str) -> click.Command:
    """The command of the method of this name."""
    method = next(one for one in METHODS.values() if one.command == name)
    inputs = sorted(method.inputs.values(), key=lambda one: isinstance(one.input, StoreInput))
    params = [made for declared in inputs for made in _parameters(method, declared)]
    seeded = method.takes("network")  # there, --seed is among the options of the network
    params += [option_of(option) for option in method.options if not (seeded and option.name == "seed")]
    params += _drawing(method)
    if method.takes("network"):
        params += network_options([option.name for option in method.options])
    elif method.takes("objective") or method.takes("query"):
        params += recorded_options()
    params += [*out_options(), *saying_options()]
    epilog = _STORE if method.takes("store") else _IMAGE if method.takes("images") else None
    return click.Command(
        name, callback=with_shared_options(partial(run, method)), params=params, help=help_of(method), epilog=epilog
    )


def help_of(method: Method[Any]) -> str:
    """What the docstring says to a person at a terminal: its first paragraph, and those that describe no values."""
    paragraphs = re.split(r"\n\s*\n", _dedented(method.__doc__ or ""))
    told = [text for text in paragraphs if not re.match(r"\s*(Values? |\w[\w, ]* {3,}\S)", text)]
    words = [re.sub(r"\s*\bRaises\s+[A-Z].*", "", text, flags=re.DOTALL) for text in told]
    return "\n\n".join(_SHAPE.sub("", text) for text in words if text).strip()


def _parameters(method: Method[Any], declared: Declared) -> list[click.Parameter]:
    """The arguments and options of one input."""
    name = declared.name
    params: list[click.Parameter] = []
    match declared.input:
        case NetworkInput(many=True):
            params += beside_options()
        case StoreInput():
            params.append(click.Argument([name], metavar=name.upper()))
        case QueryInput():
            params.append(click.Argument([name], metavar="IMAGE"))
        case ObjectiveInput() as unit if declared.required:
            params.append(click.Argument([name], metavar=unit.word))
        case ObjectiveInput():
            text = f"the unit to explain: {_UNIT}; may be repeated"
            text += "  [default: the top class]" if declared.default else ""
            params.append(click.Option(["-u", "--unit", name], multiple=True, metavar="UNIT", help=text))
        case LayerInput() as layer:
            params.append(_layer(declared, layer))
        case ImageInput() as images:
            params.append(_images(method, declared, images))
        case CollectionInput() as collection:
            params.append(click.Option([f"--{name}"], metavar=collection.word, help=collection.help))
    return params


def _layer(declared: Declared, layer: LayerInput) -> click.Option:
    stored = "a layer that the store keeps, or input for pixel space"
    text = layer.help or (stored if layer.of == "store" else "a layer, as listed by `triscope layers`")
    text += "; or several, separated by commas" if layer.many else ""
    return click.Option([f"--{declared.name}"], metavar="LAYER", required=declared.required, help=text)


def _images(method: Method[Any], declared: Declared, images: ImageInput) -> click.Parameter:
    if declared.is_argument:
        # Where a class or unit follows, there is one image.
        several = images.many and not method.requires("objective")
        word = "IMAGE" if declared.name == "images" else declared.name.upper()
        metavar = f"{word}..." if several else word
        return click.Argument([declared.name], nargs=-1 if several else 1, required=declared.required, metavar=metavar)
    name = declared.name.removesuffix("s") if images.many else declared.name
    default = None if images.many else declared.default
    return click.Option(
        [f"--{name}", declared.name], multiple=images.many, metavar="FILE", help=images.help, default=default,
        show_default=bool(default),
    )  # fmt: skip


def _drawing(method: Method[Any]) -> list[click.Parameter]:
    """How the result is drawn and in which forms it is written."""
    params: list[click.Parameter] = []
    if issubclass(method.returns, Heatmap):
        text = "draw the map alone, over the image, or next to it"
        kinds = click.Choice(get_args(Style))
        params.append(click.Option(["--style"], type=kinds, default="heat", show_default=True, help=text))
    params += [
        click.Option([f"--{form}"], is_flag=True, help=text) for form, text in method.returns.asked_forms.items()
    ]
    return params + way_options(method)


def option_of(option: Option) -> click.Option:
    """A method's option as click's."""
    name = option.flag
    names = [f"{name}/--no-{name.removeprefix('--')}" if option.type is bool else name, option.spelled or option.name]
    if option.formerly:
        names.insert(1, f"--{option.formerly.replace('_', '-')}")
    kind: click.ParamType[Any] | type | None = option.type
    if option.type is bool:
        kind = None
    elif option.many or option.bytes:
        kind = str
    elif option.choices:
        kind = click.Choice(option.choices)
    elif option.range is not None:
        least, most = option.range.least, option.range.most
        kind = click.IntRange(int(least), int(most)) if option.type is int else click.FloatRange(least, most)
    if option.words:
        kind = _OrWord(kind, option.words)
    default = ",".join(map(str, option.default)) if option.many and option.default else option.default
    return PlainOption(
        names, type=kind, default=default, show_default=default is not None, help=option.help, metavar=_metavar(option)
    )


def _metavar(option: Option) -> str | None:
    """What stands for the value in the help, where it is not what click would say."""
    if option.many:
        return "NAME,NAME,..." if option.type is str else "NUMBER,NUMBER,..."
    if option.bytes:
        return "SIZE"
    return "FILE" if option.type is str and not option.recorded and not option.choices else None


class _OrWord(click.ParamType[Any]):
    """What another type takes, or one of a few words."""

    name = "or a word"

    def __init__(self, inner: Any, words: Sequence[str]) -> None:
        self.inner, self.words = inner, words

    def get_metavar(self, param: click.Parameter, ctx: click.Context) -> str:
        """What stands in the help."""
        del param, ctx
        return "|".join(["NUMBER", *self.words])

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The word, or the value as the other type has it."""
        if value in self.words:
            return value
        try:
            return self.inner.convert(value, param, ctx)
        except click.BadParameter as error:
            raise click.BadParameter(f"{error.message.rstrip('.')}; it may also be {', '.join(self.words)}.") from error


def _dedented(text: str) -> str:
    first, _, rest = text.partition("\n")
    return first + "\n" + "\n".join(line.removeprefix("    ") for line in rest.splitlines())
