"""The notebook of examples/ runs from the top to the bottom, shows every kind of result, and stays small."""

from pathlib import Path

import pytest

import triscope as ts

nbformat = pytest.importorskip("nbformat", reason="needs nbformat to read notebooks: make docs")
NOTEBOOK = Path(__file__).parents[2] / "examples/tour.ipynb"


def test_it_has_twenty_cells_and_is_kept_without_what_they_show():
    """What cells show depends on the machine in its last bits, and would be a change of megabytes each time."""
    cells = nbformat.read(NOTEBOOK, as_version=4).cells
    assert len(cells) == 20
    assert not any(cell.get("outputs") for cell in cells)


@pytest.mark.slow
def test_it_runs(tmp_path, monkeypatch):
    nbclient = pytest.importorskip("nbclient", reason="needs nbclient to run notebooks: make docs")
    pytest.importorskip("ipykernel", reason="needs ipykernel to run notebooks: make docs")
    monkeypatch.setenv("PYTHONPATH", str(Path(ts.__file__).parents[1]))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))  # not the settings of whoever runs the tests
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    folder = tmp_path / "here"
    folder.mkdir()
    nbclient.NotebookClient(notebook, timeout=600, resources={"metadata": {"path": folder}}).execute()
    written = tmp_path / "tour.ipynb"
    nbformat.write(notebook, written)
    assert written.stat().st_size < 2_000_000
    nbformat.validate(notebook)
    for number, cell in enumerate(notebook.cells):
        if cell.cell_type != "code":
            continue
        shown = [output for output in cell.outputs if output.output_type in ("execute_result", "display_data")]
        rich = {kind for output in shown for kind in output.data} & {"image/png", "image/jpeg", "text/html"}
        assert rich or number == 13, f"cell {number} shows no picture and no table:\n{cell.source}"
        assert all(len(output.data.get("text/plain", "")) < 400 for output in shown), number
        errors = "".join(output.text for output in cell.outputs if output.output_type == "stream")
        assert "Traceback" not in errors
        assert "Warning" not in errors, errors
    live = [cell for cell in notebook.cells if "ts.watch" in cell.source]
    assert len(live) == 2
    assert all("<progress" in str(cell.outputs) or "image/" in str(cell.outputs) for cell in live)
