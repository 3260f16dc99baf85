"""Every block of code in README.md and docs/ is run as it is written, page by page, from the top to the bottom."""

import builtins
import re
import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner
from scripts.blocks import Block, blocks

import triscope as ts
from tests.docs.workspace import GIVEN, make_workspace, quicken

ROOT = Path(__file__).parents[2]
PAGES = {
    path.relative_to(ROOT).as_posix(): path for path in sorted([*ROOT.glob("README*.md"), *ROOT.glob("docs/**/*.md")])
}
#: Commands that are not run, by the words they begin with.
NOT_RUN = {
    "make": "needs a clone and an environment of its own; that the target exists is tested in tests/test_docs.py",
    "python3 -m venv": "makes an environment; tests/docs/test_wheel.py does",
    ".venv/bin/pip": "installs from the network; tests/docs/test_wheel.py installs what is built",
    "pip install": "installs from the network",
    ".venv/bin/python -m pytest": "runs the tests from within the tests",
    "python -m benchmarks.": "takes minutes or hours; tests/test_benchmarks.py loads each",
    "triscope stylize cat.jpg wave.jpg --start noise --octaves 1 -m vgg19": "half a gigabyte of weights",
    "triscope texture pebbles.jpg -m vgg19": "half a gigabyte of weights",
    "triscope units features.4 features.9 output": "1,448 pictures; tests/what/test_units.py fills smaller folders",
    "triscope units features.9 -o units/ --ray": "a Ray cluster; tests/test_units_on_a_cluster.py",
    "triscope difference cat.jpg -m resnet18": "two trained networks",
    "triscope app -m alexnet --beside vgg16": "half a gigabyte of weights",
}
#: Blocks of Python that are not run, by a line of theirs.
FRAGMENTS = {
    'ts.Network(m, output="logits")  # of': "networks of four kinds in one block; tests/test_kinds.py runs each",
    'ts.Network(m, task="boxes"': "detectors of three kinds; tests/test_kinds.py runs each",
    "net = ts.Network(m, channels=6": "six bands; tests/test_kinds.py runs it",
    '"street.jpg", "output:person@predicted"': "a segmenter; tests/test_kinds.py runs one",
    'ts.Need("layernorm", "class")': "a transformer of Hugging Face; the commands above it are run",
    'ts.attention_maps(net, "cat.jpg", "blocks.3")': "a transformer of timm; the commands above it are run",
    'ts.load("vit_b_16")': "330 MB of weights; the commands above it are run with random ones",
    'ts.load("before.pth", arch="resnet18")': "two trained networks; the command above it is run",
}
#: Pages with tests of their own.
ELSEWHERE = {
    "docs/kinds.md": "tests/test_kinds.py",
    "docs/lecture.md": "make docs runs it and shows what it draws",
    "docs/cluster.md": "clusters, launchers and S3; tests/which/test_cluster.py runs them",
    "docs/ko/lecture.md": "the code is that of docs/lecture.md",
    "docs/first-hour.md": "tests/docs/test_first_hour.py",
    "docs/first-path.md": "tests/docs/test_first_path.py",
}
#: Pages that look at images at several sizes, the smallest a third of the usual one.
LARGER = {"docs/methods/dream.md"}
#: Pages that begin with a folder that is not indexed.
UNINDEXED = {"docs/methods/changes.md"}
#: Pages that export the images of units, which a command above had them make.
EXPORTING = {"docs/app.md"}
#: Pages whose commands take more than two or three seconds, even so.
SLOW = {"README.md", "README.ko.md", "docs/app.md"} | {
    f"docs/methods/{name}.md"
    for name in (
        "ascend", "attention-maps", "attention-rollout", "compare", "grad-cam", "gradient-attention",
        "integrated-gradients", "invert", "judge", "regularisers", "smooth-grad", "stylize", "texture", "units",
    )
}  # fmt: skip
LANGUAGES = {"sh", "python", "text", ""}


def test_every_block_has_a_language_that_is_known():
    found = {block.language for path in PAGES.values() for block in blocks(path.read_text("utf-8"))}
    assert {one for one in found if not one.startswith("{")} <= LANGUAGES


@pytest.fixture(scope="module")
def filled(tmp_path_factory) -> Path:
    """A folder with everything that pages name."""
    folder = tmp_path_factory.mktemp("workspace")
    make_workspace(folder)
    return folder


@pytest.fixture(scope="module")
def indexed(filled, tmp_path_factory) -> Path:
    """The same, with the photos indexed."""
    folder = tmp_path_factory.mktemp("indexed") / "workspace"
    shutil.copytree(filled, folder)
    with pytest.MonkeyPatch.context() as patch:
        quicken(patch)
        layers = ["features.3", "features.10", "classifier.5", "output"]
        ts.Store.build(ts.load("pocket"), folder / "photos", layers=layers, maps=["features.3"])
    return folder


def commands(block: Block) -> Iterator[str]:
    """The commands of a block, a line each."""
    for line in block.text.splitlines():
        if line.strip() and not line.lstrip().startswith("#"):
            yield line.strip()


def run_command(line: str) -> None:
    """Run a command as a shell would: comments left out, patterns replaced by the files that they match."""
    from triscope.cli import main

    if any(line.startswith(words) for words in NOT_RUN):
        return
    program, *words = shlex.split(line, comments=True)
    assert program == "triscope", f"{line}: neither run nor in NOT_RUN"
    plain = shlex.split(line, comments=True, posix=False)  # with the quotes
    expanded = [
        file
        for word in words
        for file in ((word in plain and "*" in word and sorted(map(str, Path().glob(word)))) or [word])
    ]
    done = CliRunner().invoke(main, expanded, prog_name="triscope")
    if done.exit_code and "use --force to overwrite it" in done.output:  # the commands of a list are alternatives
        done = CliRunner().invoke(main, [*expanded, "--force"], prog_name="triscope")
    assert done.exit_code == 0, f"{line}\n{done.output}\n{done.exception!r}"


def run_python(block: Block, space: dict[str, object], page: str) -> None:
    """Run a block in the page's names, and in those that it takes for given."""
    if any(line in block.text for line in FRAGMENTS):
        return
    code = compile("\n" * (block.line - 1) + block.text, page, "exec")
    for name in code.co_names:
        if name in GIVEN and name not in space and not hasattr(builtins, name):
            space[name] = GIVEN[name]()
    exec(code, space)


def _marked(page: str) -> object:
    return pytest.param(page, marks=[pytest.mark.slow] if page in SLOW else [])


@pytest.mark.parametrize("page", [_marked(page) for page in PAGES if page not in ELSEWHERE])
def test_the_code_of_a_page_runs(page, request, tmp_path, monkeypatch):
    found = list(blocks(PAGES[page].read_text("utf-8")))
    if not any(block.language in ("sh", "python") for block in found):
        return
    quicken(monkeypatch, 256 if page in LARGER else 128)
    folder = tmp_path / "here"
    shutil.copytree(request.getfixturevalue("filled" if page in UNINDEXED else "indexed"), folder)
    monkeypatch.chdir(folder)
    if page in EXPORTING:
        ts.UnitFolder.build(ts.load("pocket"), ["features.9"], "units", channels="0-1", size=32, steps=2)
    space: dict[str, object] = {}
    for block in found:
        if block.language == "sh":
            for line in commands(block):
                run_command(line)
        elif block.language == "python":
            run_python(block, space, page)


def test_what_is_not_run_is_there():
    """A line that is gone from the pages has no place in the lists."""
    text = "\n".join(path.read_text("utf-8") for path in PAGES.values())
    assert [words for words in (*NOT_RUN, *FRAGMENTS) if words not in text] == []


def test_the_korean_lecture_shows_the_same_code_and_pictures():
    english, korean = (PAGES[name].read_text("utf-8") for name in ("docs/lecture.md", "docs/ko/lecture.md"))
    assert [block.text for block in blocks(korean)] == [block.text for block in blocks(english)]
    for pattern in (r"<!-- figure: ([\w-]+\.png)", r"methods/([\w-]+)\.md"):
        assert re.findall(pattern, korean) == re.findall(pattern, english)
    assert len(re.findall("^## ", korean, re.MULTILINE)) == len(re.findall("^## ", english, re.MULTILINE))
