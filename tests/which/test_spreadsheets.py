"""Collections listed in a CSV file, as many programs write them: read rightly, or what is odd about them is said."""

import sys
import warnings
from datetime import date, datetime

import pytest

import triscope as ts
from tests.which.conftest import paint
from triscope.errors import StoreError, TriscopeWarning
from triscope.which.collection import Collection
from triscope.which.indexing.index import index
from triscope.which.spreadsheet import Spreadsheet
from triscope.which.store import Store

at = datetime.fromisoformat


@pytest.fixture
def sheet(tmp_path):
    """A CSV file of this text beside four images, read; a note that is not expected fails."""
    for number, name in enumerate(("a.jpg", "b.jpg", "sub/c.jpg", "ü, x.jpg")):
        paint(tmp_path / name, number)

    def make(text, name="list.csv", encoding="utf-8"):
        (tmp_path / name).write_bytes(text if isinstance(text, bytes) else text.encode(encoding))
        return Spreadsheet(tmp_path / name)

    return make


def pictures(sheet):
    return [path.removeprefix(f"{sheet.folder}/") for path, _ in sheet.rows()]


def column(sheet, name):
    return [known[name] for _, known in sheet.rows()]


@pytest.mark.parametrize(
    "name",
    ["path", "Path", "PATH", "filepath", "file_path", "image_path", "Image Path", "filename", "SourceFile", "img"],
)
def test_the_column_of_the_pictures_is_found_by_its_name(sheet, name):
    read = sheet(f"label,{name}\nx,a.jpg\ny,b.jpg\n")
    assert (pictures(read), column(read, "label"), read.notes) == (["a.jpg", "b.jpg"], ["x", "y"], [])


@pytest.mark.parametrize(
    ("text", "name", "encoding"),
    [
        ("path;label\na.jpg;x\nb.jpg;y\n", "list.csv", "utf-8"),
        ("path\tlabel\na.jpg\tx\nb.jpg\ty\n", "list.csv", "utf-8"),
        ("path\tlabel\na.jpg\tx\nb.jpg\ty\n", "list.tsv", "utf-8"),
        ("path|label\na.jpg|x\nb.jpg|y\n", "list.csv", "utf-8"),
        ("sep=;\r\npath;label\r\na.jpg;x\r\nb.jpg;y\r\n", "list.csv", "utf-8"),
        ('"path","label"\r\n"a.jpg","x"\r\n"b.jpg","y"', "list.csv", "utf-8-sig"),
        ("path\tlabel\r\na.jpg\tx\r\nb.jpg\ty\r\n", "list.txt", "utf-16"),
        ("\n\npath,label\n\na.jpg,x\n\nb.jpg,y\n\n", "list.csv", "utf-8"),
        ("path, label\n a.jpg ,x\nb.jpg,y\n", "list.csv", "utf-8"),
    ],
)
def test_whatever_stands_between_the_columns_and_however_it_is_encoded(sheet, text, name, encoding):
    read = sheet(text, name, encoding)
    assert (pictures(read), column(read, "label"), read.notes) == (["a.jpg", "b.jpg"], ["x", "y"], [])


def test_a_file_of_one_column_may_have_commas_in_its_names(sheet):
    assert pictures(sheet("path\nü, x.jpg\na.jpg\n")) == ["ü, x.jpg", "a.jpg"]


def test_windows_letters_and_slashes(sheet):
    read = sheet("path,ort\nü, x.jpg,Köln\n".replace("ü, x.jpg", '"ü, x.jpg"').encode("cp1252") + b"sub\\c.jpg,Ulm\n")
    assert (pictures(read), column(read, "ort")) == (["ü, x.jpg", "sub/c.jpg"], ["Köln", "Ulm"])


@pytest.mark.parametrize(
    ("cells", "kind", "values"),
    [
        (["1999", "2003", ""], "int64", [1999, 2003, None]),
        (["-1", "+5", "NA"], "int64", [-1, 5, None]),
        (["1", "2.5", "1e3"], "float64", [1.0, 2.5, 1000.0]),
        (["0.5", "NaN", "null"], "float64", [0.5, None, None]),
        (["01067", "10115", ""], "string", ["01067", "10115", ""]),  # a code, and not a number
        (["99999999999999999999", "1", "2"], "float64", [1e20, 1.0, 2.0]),
        (["true", "False", ""], "bool", [True, False, None]),
        (["2003-05-06", "1999-12-31", ""], "date32", [date(2003, 5, 6), date(1999, 12, 31), None]),
        (
            ["2003-05-06 07:08", "1999-12-31", ""],
            "timestamp",
            [at("2003-05-06 07:08"), at("1999-12-31"), None],
        ),
        (["2003:05:06 07:08:09", "", ""], "timestamp", [at("2003-05-06 07:08:09"), None, None]),
        (["2003-05-06T07:08:09+02:00", "", ""], "timestamp", [at("2003-05-06 05:08:09"), None, None]),
        (["6.5.2003", "31.12.1999", ""], "date32", [date(2003, 5, 6), date(1999, 12, 31), None]),
        (["1", "x", "3"], "string", ["1", "x", "3"]),
        (["2003-02-31", "2003-02-01", ""], "string", ["2003-02-31", "2003-02-01", ""]),
        (["", "NA", ""], "string", ["", "NA", ""]),
    ],
)
def test_columns_have_the_type_that_all_their_cells_allow(sheet, cells, kind, values):
    read = sheet("path,what\n" + "".join(f"{n}.jpg,{cell}\n" for n, cell in enumerate(cells)))
    assert (read.fields, column(read, "what"), read.notes) == ({"what": kind}, values, [])


def test_dates_and_numbers_that_are_written_in_several_ways_are_said(sheet):
    read = sheet("path;a;b;c;d\na.jpg;31/12/1999;12/31/1999;01/02/1999;3,5\nb.jpg;01/02/2003;01/02/2003;03/04/2003;2\n")
    assert read.fields == {"a": "date32", "b": "date32", "c": "string", "d": "float64"}
    assert column(read, "a")[1] == date(2003, 2, 1)
    assert column(read, "b")[1] == date(2003, 1, 2)
    assert column(read, "d") == [3.5, 2.0]
    assert read.notes == [
        "list.csv: a: dates are read as day/month/year.",
        "list.csv: b: dates are read as month/day/year.",
        "list.csv: c: its dates can be read in two ways and are kept as text; written as 2003-05-31 they are dates.",
        "list.csv: d: numbers are read with a decimal comma.",
    ]


def test_columns_whose_names_are_taken_get_others_and_it_is_said(sheet):
    read = sheet("path,name,label,Label,size.cm,,answer\na.jpg,N,x,y,3,q,z\n")
    assert read.fields == {
        "name_2": "string", "label": "string", "Label_2": "string", "size_cm": "int64", "column_6": "string",
        "answer_2": "string",
    }  # fmt: skip
    assert [known for _, known in read.rows()] == [
        {"name_2": "N", "label": "x", "Label_2": "y", "size_cm": 3, "column_6": "q", "answer_2": "z"}
    ]
    assert read.notes == [
        "list.csv: the column 'name' is kept as name_2, because name means something else in a store.",
        "list.csv: the column 'Label' is kept as Label_2, because another column has that name.",
        "list.csv: the column 'size.cm' is kept as size_cm.",
        "list.csv: the column '' is kept as column_6, because it has no name.",
        "list.csv: the column 'answer' is kept as answer_2, because answer means something else in a store.",
    ]


def test_rows_that_are_odd_are_said(sheet):
    read = sheet("path,label\na.jpg,x\na.jpg,y\n./a.jpg,z\n,w\nb.jpg,v,too,much\nsub/c.jpg\n")
    assert [known["label"] for _, known in read.rows()] == ["x", "y", "z", "v", ""]
    twice = "a.jpg in rows 2 and 3, ./a.jpg in rows 2 and 4"
    assert read.notes == [
        f"list.csv: 2 rows left out, because the image stands in an earlier one ({twice}).",
        "list.csv: 1 row left out, because no image is named (row 5).",
        "list.csv: cells beyond the 2 columns of the header are left out (row 6).",
    ]
    with pytest.warns(TriscopeWarning) as said:
        entries = list(Collection(read.path))
    assert [str(warning.message) for warning in said] == read.notes
    assert [(entry.name, entry.metadata["label"]) for entry in entries] == [
        ("a.jpg", "x"),
        ("b.jpg", "v"),
        ("sub/c.jpg", ""),
    ]


def test_a_list_without_a_header(sheet):
    read = sheet("a.jpg,x\nb.jpg,y\n")
    assert (pictures(read), column(read, "column_2")) == (["a.jpg", "b.jpg"], ["x", "y"])
    assert read.notes == ["list.csv has no header; its column 1 names the images."]
    assert pictures(sheet("a.jpg\nsub/c.jpg\n", "list.txt")) == ["a.jpg", "sub/c.jpg"]


def test_the_column_of_the_pictures_is_found_by_what_is_there(sheet):
    read = sheet("nr;Bild\n1;a.jpg\n2;b.jpg\n")
    assert (pictures(read), column(read, "nr")) == (["a.jpg", "b.jpg"], [1, 2])
    assert read.notes == ["list.csv: the images are those of the column 'Bild'."]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "is empty"),
        ("\n\n", "is empty"),
        ("nr;bild\n1;x.jpg\n", r"Its columns, read with semicolons between them, are: nr, bild\."),
        ("anything\nelse\n", r"Its columns are: anything\. Call the one"),
        ('path,"label\n' + "x" * 200_000, "cannot be read as CSV"),
    ],
)  # fmt: skip
def test_what_names_no_pictures_is_a_sentence_with_its_header(sheet, text, words):
    with pytest.raises(StoreError, match=words):
        sheet(text)


def test_a_workbook_is_read_where_openpyxl_is_installed(sheet, tmp_path):
    openpyxl = pytest.importorskip("openpyxl", reason="needs openpyxl: pip install 'triscope[spreadsheets]'")
    book = openpyxl.Workbook()
    for row in (
        ["Image", "year", "taken", "price", "ok", "label"],
        ["a.jpg", 1999, at("1999-01-02"), 3.5, True, "x"],
        ["b.jpg", None, at("2003-05-06"), 2, False, "y"],
    ):
        book.active.append(row)
    book.save(tmp_path / "list.xlsx")
    read = Spreadsheet(tmp_path / "list.xlsx")
    assert read.fields == {"year": "int64", "taken": "date32", "price": "float64", "ok": "bool", "label": "string"}
    assert [known for _, known in read.rows()][1] == {
        "year": None, "taken": date(2003, 5, 6), "price": 2.0, "ok": False, "label": "y",
    }  # fmt: skip
    (tmp_path / "no.xlsx").write_bytes(b"PK\3\4 no book")
    with pytest.raises(StoreError, match="save it as CSV"):
        Spreadsheet(tmp_path / "no.xlsx")


def test_a_workbook_without_openpyxl_is_a_sentence(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "openpyxl", None)
    (tmp_path / "list.xlsx").touch()
    with pytest.raises(StoreError, match=r"needs openpyxl: pip install 'triscope\[spreadsheets\]'; or save it as CSV"):
        Spreadsheet(tmp_path / "list.xlsx")


def build(network, folder, text):
    (folder / "list.csv").write_text(text, "utf-8")
    return Store.build(network, folder / "list.csv", folder / "store", layers=["7", "output"], precision="float32")


FIRST = "path,label,year,taken\na.jpg,x,1999,1999-01-02\nb.jpg,y,2003,2003-05-06\nsub/c.jpg,y,2011,\n"


def test_numbers_are_numbers_and_dates_dates(network, sheet, tmp_path):
    sheet(FIRST)
    store = build(network, tmp_path, FIRST)

    def found(where):
        return sorted(ts.neighbors(store, tmp_path / "a.jpg", k=9, where=where).names)

    assert found("year > 2000") == ["b.jpg", "sub/c.jpg"]
    assert found('"year" = 2003') == found("`year` = 2003") == found("year = '2003'") == ["b.jpg"]
    assert found("taken > '2000-01-01'") == found("taken BETWEEN '2003-01-01' AND '2003-12-31'") == ["b.jpg"]
    assert found("taken IS NULL AND \"label\" = 'y'") == ["sub/c.jpg"]
    assert found("name = 'a.jpg' OR folder = 'sub'") == ["a.jpg", "sub/c.jpg"]
    assert found("LABEL IN ('x')") == ["a.jpg"]


@pytest.mark.parametrize(
    ("where", "words"),
    [
        ('label = "y"', r"have no field y\. .*A text must be in single quotes: 'y'\.$"),
        ("jear > 2000", r"have no field jear\. Nearest: year\. They have name, folder, .*, label, year, taken\.$"),
        (
            "year > 'old'",
            "'year > 'old'' is not a condition: .old. cannot be compared with a whole number|cannot be compared",
        ),
        ("year >", "is not a condition: Expected: an expression"),
        ("1=1) OR (status='error'", "a bracket or a quote is not closed"),
        ("year > 2000 -- ", "it contains a comment"),
        ("label = 'y", "a bracket or a quote is not closed"),
    ],
)
def test_what_is_no_condition_is_said_in_words_about_it(network, sheet, tmp_path, where, words):
    sheet(FIRST)
    with pytest.raises(StoreError, match=words):
        ts.neighbors(build(network, tmp_path, FIRST), tmp_path / "a.jpg", where=where)


def test_names_are_relative_to_the_file_and_the_store_moves_with_it(network, sheet, tmp_path):
    sheet(FIRST)
    folder = tmp_path / "moved"
    (tmp_path / "was").mkdir()
    for part in ("a.jpg", "b.jpg", "sub"):
        (tmp_path / part).rename(tmp_path / "was" / part)
    store = build(network, tmp_path / "was", FIRST)
    assert store.names(range(3)) == ("a.jpg", "b.jpg", "sub/c.jpg")
    assert ts.patches(store, "7:1", k=3).notes == ()
    (tmp_path / "was").rename(folder)
    assert build(network, folder, FIRST).names(range(3)) == ("a.jpg", "b.jpg", "sub/c.jpg")


def test_what_the_file_says_now_is_known_without_computing_again(network, sheet, tmp_path):
    sheet(FIRST)
    build(network, tmp_path, FIRST)
    (tmp_path / "list.csv").write_text("path,year,kind\nsub/c.jpg,old,k\na.jpg,1999,\nb.jpg,2003,m\n")
    *_, last = index(network, tmp_path / "list.csv", tmp_path / "store", precision="float32")
    assert (last.known, last.stored) == (3, 0)
    store = Store.open(tmp_path / "store")
    assert store.about.fields == ("year", "kind")
    rows = store.table.take([0, 1, 2], ["name", "year", "kind"])
    assert [*zip(rows["name"], rows["year"], rows["kind"], strict=True)] == [
        ("a.jpg", "1999", ""), ("b.jpg", "2003", "m"), ("sub/c.jpg", "old", "k"),
    ]  # fmt: skip
    assert "label" not in store.table.names


def test_a_map_is_coloured_by_a_column_with_one_value(network, sheet, tmp_path):
    sheet(FIRST)
    store = build(network, tmp_path, "path,kind,year\na.jpg,x,1\nb.jpg,x,0\n")
    made = ts.pca(store, color_by="kind", size=64)
    assert made.fields["kind"] == ("x", "x")
    assert "kind" not in ts.pca(store, size=64).fields
    assert made.png()
    table = made.save(tmp_path / "map.csv").read_text().splitlines()
    assert table[0].split(",")[-2:] == ["kind", "year"]
    assert table[2].split(",")[-2:] == ["x", "0"]
    with pytest.raises(StoreError, match=r"no field 'knd' to colour by\. Nearest: kind\. They have folder, answer"):
        ts.pca(store, color_by="knd", size=64)


def test_no_warning_without_an_oddity(sheet):
    read = sheet(FIRST)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert [entry.name for entry in Collection(read.path)] == ["a.jpg", "b.jpg", "sub/c.jpg"]
