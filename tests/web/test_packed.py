"""Raw numbers for the page: packed and taken apart again, and exact to 8 bits."""

import io

import numpy as np
import PIL.Image
import pytest
import torch

import triscope as ts
from tests.web.conftest import SAME
from triscope.verbs import METHODS
from triscope.web.packed import packed, unpacked
from triscope.web.volumes import Volume


@pytest.mark.parametrize("name", ["a", "ab", "abc", "abcd", "é"])
def test_what_was_packed_is_there_again_and_every_part_begins_at_a_multiple_of_four(name):
    parts = {"one": b"12345", "none": b"", "two": bytes(range(256))}
    data = packed({"name": name}, parts)
    assert unpacked(data) == ({"name": name}, parts)
    assert all(data.index(part) % 4 == 0 for part in (parts["one"], parts["two"]))


@pytest.mark.parametrize("least", [0.0, -3.0])
def test_levels_are_each_maps_values_by_its_own_largest_magnitude(least):
    values = torch.linspace(least, 5, 3 * 5 * 7).reshape(3, 5, 7)
    levels = Volume("x", values).levels()
    assert levels.dtype == torch.uint8
    for one, level in zip(values, levels, strict=True):
        top = float(one.abs().max())
        back = (level.float() - 128) / 127 * top if least < 0 else level.float() / 255 * top
        torch.testing.assert_close(back, one, atol=0.51 * top / (127 if least < 0 else 255), rtol=0)


def test_the_tiles_of_a_layer_are_its_facts_and_its_levels(client, running):
    photo = running.microscope.photos.listed()[0]["id"]
    told, parts = unpacked(client.get(f"/api/layer/tiles?layer=1&photo={photo}").content)
    assert told == client.get(f"/api/layer?layer=1&photo={photo}").json()
    levels = np.frombuffer(parts["levels"], np.uint8).reshape(told["count"], told["height"], told["width"])
    atlas = np.asarray(PIL.Image.open(io.BytesIO(client.get(f"/api/layer/atlas?layer=1&photo={photo}").content)))
    for unit in range(told["count"]):
        top, left = unit // told["columns"] * told["height"], unit % told["columns"] * told["width"]
        np.testing.assert_array_equal(atlas[top : top + told["height"], left : left + told["width"]], levels[unit])


def test_a_frame_says_what_the_methods_say(client, running):
    scope = running.microscope
    photo = scope.photo(scope.photos.listed()[0]["id"])
    data = photo.source.read_bytes()
    for method in ("saliency", "grad_cam"):
        answer = client.post(f"/api/camera?layer=1&method={method}", content=data, headers=SAME).content
        told, parts = unpacked(answer)
        heat = METHODS[method](scope.networks[0], data)
        shares = heat.values.numpy().ravel() / heat.scale
        levels = np.frombuffer(parts["heatmap"], np.uint8).astype(float)
        drawn = (levels - 128) / 127 if heat.signed else levels / 255
        np.testing.assert_allclose(drawn, shares.clip(-1, 1), atol=0.5 / 127 + 1e-6)
        best = ts.predict(scope.networks[0], data, k=5).rows()[0]
        assert [row["index"] for row in told["classes"]] == [row["index"] for row in best]
        assert len(parts["levels"]) == told["maps"]["count"] * told["maps"]["height"] * told["maps"]["width"]
