"""The report: its content, its messages where a method fails, and that it loads nothing from elsewhere."""

import base64
import hashlib
import os
import re
import shlex
import shutil
import struct
import subprocess
import threading
from html.parser import HTMLParser
from pathlib import Path

import click
import numpy as np
import PIL.Image
import pytest
import torch
from torch import nn

import triscope
import triscope as ts
from tests.tabbing import walk
from triscope.cli import main
from triscope.errors import ImageError, NetworkError, TriscopeError
from triscope.images import open_photo
from triscope.images.samples import SAMPLES, sample_photo, sample_word
from triscope.network import Box, Network, load
from triscope.network.stages import depths
from triscope.reporting import report
from triscope.reporting.blocks import Figure, Mosaic, Note, Section, percent
from triscope.reporting.sections import SECTIONS, _how_many, prediction
from triscope.reporting.subject import Subject, quoted
from triscope.views import activations, filters, predict

pytestmark = pytest.mark.usefixtures("brief")
TITLES = [section.title for section in SECTIONS]
CLASSES = ["tabby", "</title><script>alert(1)</script>", "rocket", 'a "quoted" & odd class', "cup"]


class Page(HTMLParser):
    """What a page holds: its tags, its text, and what stands in its commands."""

    def __init__(self, html):
        super().__init__()
        self.tags, self.text, self.commands, self._code = [], "", [], 0
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag == "code":
            self._code = True
            self.commands.append("")

    def handle_endtag(self, tag):
        if tag == "code":
            self._code = False

    def handle_data(self, data):
        self.text += data
        if self._code:
            self.commands[-1] += data

    def all(self, tag):
        return [attrs for name, attrs in self.tags if name == tag]

    @property
    def pictures(self):
        return [base64.b64decode(attrs["src"].partition(",")[2]) for attrs in self.all("img") if "/png" in attrs["src"]]


def convnet(channels=3, classes=5, bend=nn.ReLU):
    return nn.Sequential(
        nn.Conv2d(channels, 8, 5, stride=2, padding=2),
        bend(),
        nn.MaxPool2d(2),
        nn.Conv2d(8, 12, 3, padding=1),
        bend(),
        nn.Conv2d(12, 12, 3, padding=1),
        bend(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(12, 16),
        bend(),
        nn.Linear(16, classes),
    )


class Block(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.attention = nn.MultiheadAttention(width, 2, batch_first=True)
        self.mlp = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))

    def forward(self, x):
        y = self.norm(x)
        x = x + self.attention(y, y, y, need_weights=False)[0]
        return x + self.mlp(x)


class Transformer(nn.Module):
    def __init__(self, width=16, classes=5, blocks=6):
        super().__init__()
        self.patches = nn.Conv2d(3, width, 8, stride=8)
        self.token = nn.Parameter(torch.randn(1, 1, width))
        self.blocks = nn.Sequential(*(Block(width) for _ in range(blocks)))
        self.head = nn.Linear(width, classes)

    def forward(self, images):
        tokens = self.patches(images).flatten(2).transpose(1, 2)
        return self.head(self.blocks(torch.cat([self.token.expand(len(images), -1, -1), tokens], 1))[:, 0])


@pytest.fixture(scope="module")
def photo(tmp_path_factory):
    """An image that is not square, with edges and colours in it."""
    rows, cols = np.mgrid[0:60, 0:80]
    pixels = np.stack([rows * 4, cols * 3, 127 + 127 * np.sin(rows / 3) * np.cos(cols / 4)], -1).clip(0, 255)
    path = tmp_path_factory.mktemp("pictures") / "photo.png"
    PIL.Image.fromarray(pixels.astype(np.uint8)).save(path)
    return path


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return Network(convnet(), size=48, resize=52, classes=CLASSES, name="tiny")


@pytest.fixture(scope="module")
def told():
    """What was told while the report that most tests read was built."""
    return []


@pytest.fixture(scope="module")
def made(network, photo, told, brief):
    """The report that most tests read."""
    return report(network, photo, progress=lambda *step: told.append(step))


@pytest.fixture
def in_a_file(tmp_path):
    """A network that the command line can name: it is made by a function in a file."""
    path = tmp_path / "model.py"
    path.write_text(
        """
import torch
from torch import nn
from triscope import Network

def make():
    torch.manual_seed(1)
    first, second = nn.Conv2d(3, 8, 5, stride=2, padding=2), nn.Conv2d(8, 12, 3, padding=1)
    head = nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(12, 16), nn.ReLU(), nn.Linear(16, 5)
    module = nn.Sequential(first, nn.ReLU(), nn.MaxPool2d(2), second, nn.ReLU(), *head)
    return Network(module, size=48, name="tiny")
"""
    )
    return load(f"{path}:make")


def parses(command):
    """The command line reads this command; what it would do is not done."""
    program, name, *words = shlex.split(command)
    assert program == "triscope"
    main.get_command(click.Context(main), name).make_context(name, words)


def sections_of(html):
    return dict(zip([*TITLES, "time"], re.split(r"(?=<section|<footer)", html)[1:], strict=True))


def test_every_section_shows_something_with_a_caption_and_a_command(made):
    for title, html in list(sections_of(made.html).items())[:-1]:
        captions = html.count("<figcaption>")
        assert captions >= 1, title
        assert html.count("<code>") == captions, title
        assert html.count("When it misleads.") == 1, title
        assert 'class="note"' not in html, title
    assert made.timings.keys() == {"Reading and preparing", *TITLES}
    assert "Where the time went" in sections_of(made.html)["time"]


def test_nothing_is_asked_from_outside(made):
    page = Page(made.html)
    (policy,) = [meta["content"] for meta in page.all("meta") if meta.get("http-equiv") == "Content-Security-Policy"]
    assert policy.startswith("default-src 'none'")
    (source,) = re.findall(r"<script>(.*?)</script>", made.html, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(source.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in policy
    assert page.all("script") == [{}]
    assert not {"iframe", "object", "embed", "base", "form"} & {tag for tag, _ in page.tags}
    links = [value for _, attrs in page.tags for name, value in attrs.items() if name in ("src", "href", "xlink:href")]
    assert len(links) > 10
    assert [link for link in links if not link.startswith(("data:", "#"))] == []
    assert not any(name.startswith("on") or name == "srcset" for _, attrs in page.tags for name in attrs)
    assert "@import" not in page.text
    assert not re.search(r"url\((?!#)", made.html)  # but for outlines of its own


def test_links_inside_the_page_lead_somewhere(made):
    page = Page(made.html)
    ids = [attrs["id"] for _, attrs in page.tags if "id" in attrs]
    assert len(ids) == len(set(ids))
    links = {link["href"][1:] for tag in ("a", "use") for link in page.all(tag)}
    assert links | set(re.findall(r"url\(#([\w-]+)\)", made.html)) == set(ids)


def test_pictures_have_words(made):
    page = Page(made.html)
    assert min(len(image["alt"]) for image in page.all("img")) > 40
    assert all(svg.get("aria-label") or svg.get("aria-hidden") for svg in page.all("svg"))
    assert page.all("html") == [{"lang": "en"}]


def test_every_command_is_one_that_the_command_line_reads(in_a_file, photo, monkeypatch):
    monkeypatch.chdir(photo.parent)
    page = Page(report(in_a_file, photo, fit="pad").html)
    assert len(page.commands) > 10
    for command in page.commands:
        parses(command)
        assert command.startswith("triscope ")
        assert "-m model.py:make" in command
        whole = command.split()[1] == "stylize"  # the content is always taken whole
        assert ("--fit pad" in command) == (f" {photo.name} " in command and not whole)


def test_a_command_makes_the_very_picture(in_a_file, photo, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copy(photo, tmp_path)
    page = Page(report(in_a_file, photo.name).html)
    commands = [command for command in page.commands if command.split()[1] not in ("layers", "predict", "judge")]
    assert len(commands) == len(page.pictures) > 8
    for command, picture in zip(commands, page.pictures, strict=True):
        with pytest.raises(SystemExit, match="0"):
            main.main([*shlex.split(command)[1:], "-o", "made.png", "--force"])
        assert Path("made.png").read_bytes() == picture, command


def test_where_the_shell_has_no_name_for_it_the_command_is_python(network, photo):
    image = np.asarray(PIL.Image.open(photo))
    page = Page(report(network, image).html)
    for command in page.commands:
        made = eval(command, {"ts": triscope, "network": network, "image": image})
        assert made is not None
        assert not command.startswith("triscope")
    assert any(".styled('overlay')" in command for command in page.commands)


def test_a_picture_from_stdin_is_asked_from_stdin(in_a_file, photo):
    for command in Page(report(in_a_file, photo.read_bytes()).html).commands:
        parses(command)
        assert (" - " in command) == (
            command.split()[1] not in ("layers", "filters", "ascend", "regularisers", "texture")
        )


@pytest.mark.parametrize(
    ("word", "spelled"),
    [
        ("cat.png", "cat.png"),
        ("two words.png", "'two words.png'"),
        ("it's.png", """'it'"'"'s.png'"""),
        ("caf\udce9.png", r"$'caf\xe9.png'"),
        ("a\nb'\\.png", r"$'a\x0ab\x27\x5c.png'"),
    ],
)
def test_words_are_quoted_for_the_shell(word, spelled):
    assert quoted(word) == spelled
    if shutil.which("bash"):
        done = subprocess.run(["bash", "-c", f"printf %s {spelled}"], capture_output=True, check=True)
        assert done.stdout == os.fsencode(word)


@pytest.mark.parametrize(
    "name", ["<script>alert(1)<&>.png", "\"><img src=x onerror='alert(1)'>.png", "caf\udce9 \u202e.png", "-u.png"]
)
def test_file_names_are_data(photo, tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    try:
        Path(name).write_bytes(photo.read_bytes())
    except (OSError, UnicodeError):
        pytest.skip("this file system does not take the name")
    network = Network(convnet(), size=48, source={"name": "pocket"})
    made = report(network, name)
    page = Page(made.html)
    made.html.encode()
    assert page.all("script") == [{}]  # the page's own
    assert {attrs["src"][:5] for attrs in page.all("img")} == {"data:"}
    assert not any(key.startswith("on") for _, attrs in page.tags for key in attrs)
    (commands,) = {command.split(" ")[1] for command in page.commands if "--style" in command}
    assert commands == "saliency"
    if name.isprintable():
        assert f"./{name}" in shlex.split(page.commands[3]) or name in shlex.split(page.commands[3])


def test_names_of_classes_networks_and_layers_are_data(photo):
    module = convnet()
    module.add_module("</b><script>x", nn.Identity())
    module = nn.Sequential(module)
    made = report(Network(module, size=48, classes=CLASSES, name="<script>tiny"), photo)
    page = Page(made.html)
    assert page.all("script") == [{}]  # the page's own
    assert "<script>tiny" in page.text
    assert "0.</b><script>x" in page.text


def test_the_confidence_is_told_as_it_is(photo):
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3))
    with torch.no_grad():
        module[4].weight.zero_()
        module[4].bias.copy_(torch.tensor([0.2, 0.45, 0.35]).log())
    with pytest.warns(triscope.TriscopeWarning, match="zero everywhere"):
        html = report(Network(module, size=32, classes=["a", "b", "c"]), photo).html
    assert "It is not sure. Its best guess is <strong>b</strong> with 45%. Next comes c with 35%." in html
    assert html.count("The map is zero everywhere") >= 3
    assert re.findall(r'class="value">(\d+%)', html) == ["45%", "35%", "20%"]


@pytest.mark.parametrize(
    ("share", "words"), [(1.0, "over 99.9%"), (0.995, "99.5%"), (0.714, "71%"), (0.0312, "3.1%"), (1e-6, "under 0.1%")]
)
def test_shares_are_never_rounded_to_all_or_nothing(share, words):
    assert percent(share) == words


def test_a_grey_network(photo):
    page = Page(report(Network(convnet(channels=1), size=48), photo).html)
    assert "in grey" in page.text
    assert len(page.pictures) > 8


def test_a_network_without_classes_says_so_and_shows_the_rest(photo):
    module = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 4, 3), nn.ReLU(), nn.Flatten(2))
    parts = sections_of(report(Network(module, size=32), photo).html)
    for title in ("Prediction", "Saliency", "Guided backprop of the class"):
        assert "not one score per class" in parts[title]
        assert "<img" not in parts[title]
    assert parts["Activation maps"].count("<img") == 2
    assert parts["The most active neuron at each depth"].count("<img") == 2


def test_a_segmenter_answers_with_shares_of_pixels(photo):
    module = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 3, 3))
    network = Network(module, size=32, classes=["sky", "road", "cat"])
    html = report(network, photo).html
    told = predict(network, photo, k=3)
    best = told.names[0][0]
    assert f"The class of most pixels is <strong>{best}</strong>" in html
    parts = sections_of(html)
    assert "predicted as each of the 3 classes" in parts["Prediction"]
    for title in ("Saliency", "Guided backprop of the class", "Gradient ascent"):
        assert parts[title].count("<img") >= 2
        assert best in parts[title]


def test_a_network_without_relu_is_not_asked_for_guided_backprop(photo):
    parts = sections_of(report(Network(convnet(bend=nn.Tanh), size=48), photo).html)
    for title in ("Guided backprop of the class", "The most active neuron at each depth"):
        assert parts[title].count('class="note"') == 1
        assert "none before this unit" in parts[title]
    assert "<img" in parts["Saliency"]
    assert "<img" in parts["Activation maps"]


def test_a_transformer(photo):
    network = Network(Transformer(), size=32)
    assert depths(network) == [f"blocks.{block}" for block in (0, 1, 3, 4, 5)]
    parts = sections_of(report(network, photo).html)
    assert parts["Activation maps"].count("<img") == 5
    assert "4 × 4 each" in parts["Activation maps"]
    assert "none before this unit" in parts["The most active neuron at each depth"]


def test_a_single_output_and_no_convolution(photo):
    module = nn.Sequential(nn.Flatten(), nn.Linear(3 * 16 * 16, 6), nn.ReLU(), nn.Linear(6, 1))
    module[3].weight.data.abs_()
    made = report(Network(module, size=16, name="flat"), photo)
    assert depths(Network(module, size=16)) == ["2"]
    parts = sections_of(made.html)
    assert "one number for an image" in parts["Prediction"]
    assert not re.search(
        r"over 99\.9%|[( ]100%[) .]", re.sub(r"<(style|script)>.*?</\1>", "", made.html, flags=re.DOTALL)
    )
    assert "no 2-D convolution" in parts["First-layer filters"]
    assert "runner-up" not in parts["Saliency"]


def flat(weight, **said):
    """Numbers that are the bias, whatever the image."""
    module = nn.Sequential(nn.Flatten(), nn.Linear(3 * 8 * 8, len(weight)))
    module[1].weight.data.zero_()
    module[1].bias.data = torch.tensor(weight)
    return Network(module, size=8, **said)


@pytest.mark.parametrize(
    ("network", "title", "rows", "caption"),
    [
        (flat([1.5]), "The number", (("output 0", "1.5"),), "one number for an image"),
        (flat([0.0], task="binary"), "The probability", (("class 0", 0.5),), "sigmoid of the one number"),
        (
            flat([0.0, 0.0], task="labels"),
            "The classes",
            (("class 0", 0.5), ("class 1", 0.5)),
            "its 2 labels (sigmoid)",
        ),
        (flat([0.25, 0.75]), "The classes", (("class 1", 0.75), ("class 0", 0.25)), "gives to the 2 classes"),
        (
            flat([3.0, 3.0]),
            "The classes",
            (("class 0", 0.5), ("class 1", 0.5)),
            "Softmax probabilities over the 2 classes",
        ),
        (flat([3.0], task="classes"), "The classes", (("class 0", 1.0),), "a single class"),
    ],
    ids=["number", "binary", "labels", "probabilities", "classes", "one class"],
)
def test_what_the_answer_is_is_said_as_it_is(photo, network, title, rows, caption):
    (block,) = prediction(Subject(network, photo))
    assert block.title == title
    if title == "The number":
        assert block.rows == rows
    else:
        assert dict(block.rows) == pytest.approx(dict(rows))
    assert caption in block.caption
    assert ("distributes" in block.caution) == ("Softmax" in caption or "gives to" in caption or "single" in caption)


def test_a_network_with_nothing_inside(photo):
    module = nn.Sequential(nn.Flatten(), nn.Linear(3 * 8 * 8, 2))
    assert depths(Network(module, size=8)) == []
    assert "no layer of maps" in report(Network(module, size=8), photo).html


def test_the_depths_of_the_bundled_network():
    assert depths(load("pocket", weights="random")) == [
        *("features.1", "features.4", "features.7", "features.9", "features.11", "classifier.5")
    ]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("resnet18", "relu layer1.1 layer2.1 layer3.1 layer4.1 avgpool"),
        ("squeezenet1_1", "features.1 features.4 features.7 features.10 features.12"),
        ("shufflenet_v2_x0_5", None),
        ("mobilenet_v3_small", None),
    ],
)
def test_the_depths_of_others(name, expected):
    network = load(name, weights="random")
    found = depths(network)
    assert expected is None or found == expected.split()
    sizes = [network.layer(layer).shape[-1] for layer in found if len(network.layer(layer).shape) == 3]
    assert sizes == sorted(sizes, reverse=True)
    assert 5 <= len(found) <= 6


def test_the_strongest_neuron_is_where_the_layer_is_largest(network, photo):
    subject = Subject(network, photo)
    for layer in subject.depths:
        unit, response = subject.strongest(layer)
        values = network.look(subject.seen.images, [layer])[triscope.Need(layer)]
        assert response == float(values.max())
        assert float(unit(network.look(subject.seen.images, unit.needs))) == response


def test_a_neuron_is_shown_with_what_it_sees(network, photo, made):
    subject = Subject(network, photo)
    assert subject.sees(triscope.Neuron("1", 0, 3, 5)) == Box(4, 8, 5, 5)
    assert subject.sees(triscope.Neuron("1", 0, 0, 0)) == Box(0, 0, 3, 3)
    assert subject.sees(triscope.Channel("10", 0)) == Box(0, 0, 48, 48)
    figure = sections_of(made.html)["The most active neuron at each depth"]
    assert figure.count('href="#photo"') == 2 * len(subject.depths)
    assert "the outlined" in figure


def test_what_the_network_does_not_see_lies_in_the_shade(network, photo, made):
    html = made.html
    box = Subject(network, photo).seen.boxes[0]
    assert f'd="M0 0H80V60H0ZM{box.left} {box.top}h{box.width}v{box.height}h-{box.width}Z"' in html
    assert "the part in the frame, as 48 × 48" in html
    padded = report(network, photo, fit="pad", sections=SECTIONS[:1]).html
    assert 'viewBox="0 -10 80 80"' in padded
    assert "the whole image on grey" in padded


def test_a_tensor_is_taken_as_it_is(network):
    html = report(network, torch.rand(1, 3, 48, 48), sections=SECTIONS[:1]).html
    assert "all of it, as 48 × 48" in html


def test_a_section_that_cannot_be_built_becomes_a_sentence(network, photo):
    def build(subject):
        yield Figure("one", b"", "", "", "")
        raise NetworkError(f"{subject.name} is not wanted here.")

    subject = Subject(network, photo)
    kept, note = Section("t", "l", build).blocks(subject)
    assert kept.title == "one"
    assert note == Note("photo is not wanted here.")

    def broken(subject):
        raise ZeroDivisionError(subject.name)

    with pytest.raises(ZeroDivisionError):
        list(Section("t", "l", broken).blocks(subject))


def test_what_cannot_be_read_or_run_is_an_error_and_no_report(network, tmp_path):
    (tmp_path / "no.png").write_bytes(b"no picture")
    with pytest.raises(ImageError, match="not an image"):
        report(network, tmp_path / "no.png")
    with pytest.raises(NetworkError, match="cannot run"):
        report(Network(nn.Linear(3, 3), size=8), torch.rand(1, 3, 8, 8))
    with pytest.raises(ImageError, match="2"):
        report(network, torch.rand(2, 3, 48, 48))


def test_progress_is_told_before_each_section(made, told):
    assert told == [(title, number, len(TITLES)) for number, title in enumerate(TITLES, 1)]


def test_saving(made, tmp_path):
    path = made.save(tmp_path / "report.html")
    assert path.read_text("utf-8") == made.html
    assert f"{len(SECTIONS)} sections" in repr(made)
    with pytest.raises(TriscopeError, match="cannot be written"):
        made.save(path / "report.html")


def test_the_page_stays_small(photo, monkeypatch):
    monkeypatch.setattr("triscope.reporting.imagined._SIDE", 224)
    monkeypatch.setattr("triscope.reporting.imagined._SIDE_RAISED", 160)
    made = report(load("pocket", weights="random"), photo)
    assert len(made.html) < 6_000_000


@pytest.mark.parametrize(
    ("count", "size", "shown"), [(64, 224, 6), (128, 112, 15), (192, 27, 54), (64, 27, 64), (5, 999, 5)]
)
def test_large_maps_are_fewer(count, size, shown):
    assert _how_many(count, size * size) == shown


@pytest.mark.parametrize(
    "ask",
    [
        lambda network, photo: filters(network, most=7),
        lambda network, photo: activations(network, photo, "4", most=6),
        lambda network, photo: ts.compare(network, photo, "1", methods=["saliency", "occlusion"]),
        lambda network, photo: ts.regularisers(network, "1", steps=1),
        lambda network, photo: ts.invert(network, photo, every_stage=True, steps=1),
        lambda network, photo: ts.fool(network, photo, "1", steps=1),
    ],
    ids=["filters", "activations", "compare", "regularisers", "invert", "fool"],
)
def test_what_is_no_picture_of_a_mosaic_is_white_paper(ask, network, photo):
    made = ask(network, photo)
    drawn, mosaic = made.draw(), Mosaic.of(made)
    outside = torch.ones(drawn.shape[-2:], dtype=torch.bool)
    for box in mosaic.pictures:
        outside[box.top : box.top + box.height, box.left : box.left + box.width] = False
    assert outside.any()
    assert bool((drawn[:, outside] == 1).all())
    for box in mosaic.words:
        line = drawn[:, box.top : box.top + box.height, box.left : box.left + box.width]
        assert bool((line[:, 0] == 1).all())
        assert 0 < float((line < 0.5).float().mean()) < 0.5


@pytest.mark.parametrize("name", SAMPLES)
def test_sample_photos(name):
    with PIL.Image.open(sample_photo(name)) as image:
        assert min(image.size) > 100


@pytest.mark.parametrize("name", SAMPLES)
def test_a_sample_photo_has_a_word(name):
    photo = open_photo(f"sample:{name}")
    assert photo.name == name
    assert photo.path == sample_photo(name)
    assert sample_word(photo.path) == f"sample:{name}"
    assert sample_word(f"elsewhere/{photo.path.name}") is None


def test_a_sample_photo_that_is_not_there(monkeypatch):
    with pytest.raises(ImageError, match="Nearest: rocket"):
        open_photo("sample:rockett")
    with pytest.raises(ImageError, match="Nearest: rocket"):
        sample_photo("rockett")
    monkeypatch.setattr("triscope.images.samples.find_spec", lambda _: None)
    with pytest.raises(ImageError, match="pip install scikit-image"):
        sample_photo("cat")


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
def test_a_browser_opens_it_without_a_request_or_a_complaint(made, browser, tmp_path, width, scheme):
    package = pytest.importorskip("axe_playwright_python", reason="needs axe-playwright-python for axe-core")
    axe = next(Path(package.__file__).parent.rglob("axe.min.js")).read_text("utf-8")
    path = made.save(tmp_path / "report.html")
    asked, said = [], []
    page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.goto(path.as_uri())
    assert page.evaluate("[...document.images].filter(one => !one.complete || !one.naturalWidth).length") == 0
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    widths = "[...document.querySelectorAll('.mosaic')].map(one => one.offsetWidth - one.firstElementChild.offsetWidth)"
    assert set(page.evaluate(widths)) == {0}
    paper = page.evaluate("getComputedStyle(document.body).backgroundColor")
    page.evaluate(axe)
    barriers = page.evaluate("axe.run().then(found => found.violations.map(one => [one.id, one.nodes.length]))")
    reached = walk(page)
    page.close()
    assert barriers == []
    assert reached == ([], [])
    assert [url for url in asked if not url.startswith("data:")] == [path.as_uri()]
    assert said == []
    light = sum(map(int, re.findall(r"\d+", paper)[:3])) > 600
    assert light == (scheme == "light")


def test_pngs_say_their_size():
    from triscope.reporting.html import png_size

    assert png_size(b"\x89PNG\r\n\x1a\n" + struct.pack(">I4sII", 13, b"IHDR", 7, 5)) == (7, 5)


def test_sections_made_at_once_are_the_same_and_stand_in_order():
    photo, sections = torch.rand(1, 3, 32, 32), [one for one in SECTIONS if one.title in ("Saliency", "Prediction")]
    network = Network(convnet(), size=32, classes=CLASSES)
    pages = [report(network, photo, sections=sections, workers=workers) for workers in (1, 2)]
    assert [list(page.timings) for page in pages] == [["Reading and preparing", "Prediction", "Saliency"]] * 2
    assert Page(pages[0].html).pictures == Page(pages[1].html).pictures


def test_what_is_made_beside_an_interrupted_section_ends_too():
    begun, ended = threading.Event(), []

    def long(subject):
        try:
            for _ in range(10_000):
                subject.ask(predict)
                begun.set()
                yield Note("asked")
        finally:
            ended.append(True)

    def interrupted(_):
        begun.wait(60)
        raise KeyboardInterrupt
        yield

    sections = [Section("interrupted", "", interrupted), Section("long", "", long)]
    with pytest.raises(KeyboardInterrupt):
        report(Network(convnet(), size=32), torch.rand(1, 3, 32, 32), sections=sections, workers=2)
    assert ended == [True]
