"""Networks of any number of channels: every method works with them, and saves an image in colours."""

import io

import PIL.Image
import pytest

from tests import nets
from tests.contract import asking
from tests.contract.asking import ASKING, ask, pictures
from triscope.results import Grid, Heatmap
from triscope.verbs import METHODS


def own(name, channels):
    """The further images that a method is given, in the channels of the network."""
    given = {"expected_gradients": {"references": pictures(3, channels, seed=5)}}
    given["stylize"] = {"content": pictures(1, channels), "style": pictures(1, channels, seed=4)}
    return given.get(name, {})


@pytest.mark.parametrize("channels", [2, 4, 6])
@pytest.mark.parametrize("name", ASKING)
def test_every_method_answers_in_the_channels_of_the_network(name, channels):
    module = asking.module(name, channels=channels)
    network = nets.network(module, mean=0.5, std=0.25)
    assert network.channels == channels
    result = ask(name, network, pictures(channels=channels), **own(name, channels))
    assert result.values.isfinite().all()
    assert result.recipe.method == name
    if isinstance(result, Heatmap):
        assert result.values.shape[1] in (1, channels)
        assert result.image.shape[1] == channels
        assert result.overlay().png().startswith(b"\x89PNG")
    elif METHODS[name].question == "what":
        assert result.values.shape[1] == channels
    if hasattr(result, "png"):
        assert PIL.Image.open(io.BytesIO(result.png())).mode in ("RGB", "L")
        assert any("channels; images show" in note for note in result.notes) != isinstance(result, Grid)
