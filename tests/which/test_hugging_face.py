"""Data sets that Hugging Face's own package has written."""

import pytest

from tests.which.conftest import paint
from tests.which.test_indexing import build
from triscope.errors import StoreError
from triscope.which.collection import Collection

datasets = pytest.importorskip("datasets", reason="needs datasets: make test-all")
# It opens files that it leaves to the garbage collector.
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]


@pytest.fixture
def written(tmp_path):
    """A data set of seven images and their classes, and the files that they come from."""
    files = [paint(tmp_path / "photos" / f"{number}.png", number) for number in range(7)]
    kinds = {"picture": datasets.Image(), "label": datasets.ClassLabel(names=["cat", "dog"]), "width_in_cm": None}
    kinds["width_in_cm"] = datasets.Value("float32")
    rows = {"picture": list(map(str, files)), "label": [number % 2 for number in range(7)], "width_in_cm": [1.5] * 7}
    made = datasets.Dataset.from_dict(rows, features=datasets.Features(kinds))
    return made, files


@pytest.mark.parametrize("form", ["folder", "splits", "parquet"])
def test_what_datasets_wrote_is_indexed(written, network, tmp_path, form):
    made, files = written
    if form == "folder":
        made.save_to_disk(str(tmp_path / "saved"), num_shards=2)
        source, first = str(tmp_path / "saved"), "data-00000-of-00002.arrow/0"
    elif form == "splits":
        datasets.DatasetDict({"train": made, "test": made.select([0])}).save_to_disk(str(tmp_path / "saved"))
        source, first = str(tmp_path / "saved"), "train/data-00000-of-00001.arrow/0"
    else:
        embed = datasets.table.embed_table_storage
        made.with_format("arrow").map(embed, batched=True).to_parquet(str(tmp_path / "one.parquet"))
        source, first = str(tmp_path / "one.parquet"), "one.parquet/0"
    entries = {entry.name: entry for entry in Collection(source)}
    assert len(entries) == 8 if form == "splits" else 7
    assert entries[first].read() == files[0].read_bytes()
    store = build(network, source, tmp_path / "store")
    rows = store.table.take([store.row(first)], ["label", "width_in_cm"])
    assert rows["label"] == ["cat"]
    assert rows["width_in_cm"].tolist() == [1.5]
    assert store.errors() == []


def test_a_table_of_paths_is_told_what_to_do(written, network, tmp_path):
    written[0].to_parquet(str(tmp_path / "paths.parquet"))
    store = build(network, str(tmp_path / "paths.parquet"), tmp_path / "store")
    assert len(store.errors()) == 7
    assert "holds a path and no image; `save_to_disk`" in store.errors()[0][1]


def test_a_saved_folder_that_names_files_outside_is_refused(written, tmp_path):
    written[0].save_to_disk(str(tmp_path / "saved"))
    state = tmp_path / "saved" / "state.json"
    state.write_text(state.read_text().replace("data-00000-of-00001.arrow", "../secret.arrow"))
    with pytest.raises(StoreError, match="names files outside its folder"):
        Collection(tmp_path / "saved")
