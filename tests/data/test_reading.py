"""Files become tables; bad files become messages that name the column and the row."""

from __future__ import annotations

import io
import re
import zipfile

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isocline.data import SeriesTable, read_table
from isocline.errors import InputError

GOOD = """time,series,sst,wind
2020-01-01,a,1.5,3
2020-01-03,a,,4
2020-01-02,b,2,NA
2020-01-09,b,3,5
"""


def write(folder, text, name="data.csv"):
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_a_good_file(tmp_path):
    table = read_table(write(tmp_path, GOOD))
    assert [one.name for one in table.series] == ["a", "b"]
    assert table.channels == ("sst", "wind")
    np.testing.assert_array_equal(table.series[0].times, [18262, 18264])
    np.testing.assert_array_equal(table.series[0].values, [[1.5, 3], [np.nan, 4]])
    np.testing.assert_array_equal(table.series[1].values, [[2, np.nan], [3, 5]])
    assert "time column: 'time' (guessed)" in table.notes


def test_tsv_and_parquet_read_the_same(tmp_path):
    expected = read_table(write(tmp_path, GOOD)).to_frame()
    tabs = read_table(write(tmp_path, GOOD.replace(",", "\t"), "data.tsv")).to_frame()
    pl.read_csv(io.BytesIO(GOOD.encode()), null_values="NA", try_parse_dates=True).write_parquet(
        tmp_path / "data.parquet"
    )
    pd.testing.assert_frame_equal(tabs, expected)
    pd.testing.assert_frame_equal(read_table(tmp_path / "data.parquet").to_frame(), expected)


def test_numbers_and_blank_rows_and_a_mark_at_the_start(tmp_path):
    text = "\ufefft,y\n0.5,1\n\n1.5e0,nan\n2,7\n\n"
    table = read_table(write(tmp_path, text))
    assert table.axis.kind == "number"
    np.testing.assert_array_equal(table.series[0].times, [0.5, 1.5, 2])
    with pytest.raises(InputError, match=r"'x' in column 'y', row 5 of data\.csv"):
        read_table(write(tmp_path, text.replace("2,7", "2,x")), target="y")


BAD = {
    "text in numbers": (
        GOOD.replace("2,NA", "oops,NA"),
        r"'oops' in column 'sst', row 4 of data.csv",
    ),
    "decimal comma": ('t,y\n1,2\n2,"3,5"\n3,4\n', r"'3,5' in column 'y', row 3 .*decimal mark"),
    "infinity": (GOOD.replace("a,1.5", "a,inf"), r"Infinity in column 'sst', row 2"),
    "bad time": (GOOD.replace("2020-01-02", "2020-13-02"), r"'2020-13-02' in column 'time', row 4"),
    "no time": (GOOD.replace("2020-01-02", ""), r"time is missing in column 'time', row 4"),
    "text as number time": ("t,y\n1,1\n2,1\nx,1\n", r"'x' in column 't', row 4"),
    "infinite time": ("t,y\n1,1\n2,1\ninf,1\n", r"infinite in column 't', row 4"),
    "compact dates": ("date,y\n20200101,1\n20200102,2\n", r"column 'date'.*without dashes"),
    "mixed zones": (
        "time,y\n2020-01-01T00:00Z,1\n2020-01-02T00:00,2\n",
        r"column 'time', row 3.*no time zone",
    ),
    "unsorted": ("t,y\n1,1\n3,1\n2,1\n", r"column 't', row 4 .* earlier .* row 3\. .*--sort"),
    "duplicate": (
        "t,id,y\n1,a,1\n1,b,1\n2,b,1\n1,a,5\n",
        r"Row 2 and row 5 .* column 't' of series 'a'.*--duplicates",
    ),
    "no name": (GOOD.replace("02,b", "02,"), r"series is missing in column 'series', row 4"),
    "empty channel": ("t,y,z\n1,1,\n2,1,NA\n", r"'z' .*"),
    "one row": (
        "t,id,y\n1,a,1\n2,a,1\n1,b,1\n2,a2,3\n3,a2,1\n",
        r"series 'b' has one row only, row 4",
    ),
    "no value in a series": (
        "t,id,y,z\n1,a,1,1\n2,a,1,\n1,b,,\n2,b,NA,\n3,b,,\n",
        r"series 'b' has no observed value .*, from row 4 to row 6 of data.csv.*delete",
    ),
    "short row": ("t,y\n1,1\n2\n3,1\n", r"Row 3 of data.csv has 1 cells, but .* 2 columns"),
    "long row": ("t,y\n1,1\n2,1,5\n3,1\n", r"Row 3 of data.csv has 3 cells"),
    "two columns of a name": ("t,y,y\n1,1,1\n", r"Row 1 .* two columns 'y'"),
    "semicolons": ("t;y\n1;1\n", r"data.csv are separated by semicolons"),
    "semicolons and a quoted comma": ('t;y;"z, m"\n1;1;1\n', r"separated by semicolons"),
    "bars": ("t|y\n1|1\n", r"separated by vertical bars"),
    "decimal commas everywhere": (
        't,y,z\n1,"2,5",1\n2,"1.003,5",1\n',
        r"'2,5' in column 'y', row 2 .*decimal mark.*--target",
    ),
    "title": ("# my data\nt,y\n1,1\n", r"Row 2 .* 2 cells.*row 1 is a title.*delete it"),
    "no header": (
        "2020-01-01,1\n2020-01-02,2\n2020-01-03,2\n",
        r"Row 1 of data.csv holds the value '2020-01-01', but it must name the columns",
    ),
    "numbers without a header": ("5,1.5\n6,1\n7,2\n", r"Row 1 of data.csv holds the value '5'"),
    "JSON": ('[\n {"t": 1, "y": 2}\n]\n', r"data.csv looks like JSON.*export or convert"),
    "lines of JSON": ('{"t": 1, "y": 2}\n{"t": 2, "y": 2}\n', r"looks like JSON"),
    "HTML": ("<!DOCTYPE html>\n<p>Not found, sorry</p>\n", r"looks like a page of HTML"),
    "empty": ("", r"data.csv is empty"),
    "header only": ("t,y\n", r"data.csv has no rows below its header"),
    "not UTF-8": (b"t,y\n1,1\n2,\xe9\n", r"not UTF-8 text: row 3 has the byte 0xe9"),
    "PNG": (b"\x89PNG\r\n\x1a\n0000", r"looks like a PNG image.*Parquet"),
    "binary": (b"t,y\n\x00\x01\x02", r"looks like a binary file"),
    "a column for each date": (
        "place,1/22/20,1/23/20\nRome,1,2\n",
        r"dates for names of columns \('1/22/20', '1/23/20'\).*melt",
    ),
    "hundreds of columns": (
        ",".join(f"c{k}" for k in range(300)) + "\n" + ",".join("1" * 300) + "\n",
        r"'c0', .*'c11', and 288 more\. Name the time",
    ),
    "no time column": ("a,b\n1,1\n2,1\n", r"no column that looks like a time.*'a', 'b'.*--time"),
    "two times": (
        "start,end,y\n2020-01-01,2020-02-01,1\n2020-01-02,2020-02-01,1\n",
        r"'start', 'end'.*--time",
    ),
    "two series": ("t,id,station,y\n1,1,1,1\n2,1,1,1\n", r"'id', 'station'.*--series"),
    "no targets": ("t,kind\n1,a\n2,b\n", r"no column of numbers.*--target"),
}


@pytest.mark.parametrize("name", [name for name in BAD if name != "empty channel"])
def test_bad_files_say_where(tmp_path, name):
    text, message = BAD[name]
    with pytest.raises(InputError, match=f"(?s){message}") as caught:
        read_table(write(tmp_path, text))
    assert "\n" not in str(caught.value).replace(str(tmp_path), "")


def test_more_faults_of_text(tmp_path):
    for text, message in (
        ('t,y\n1,"2\n2,3\n', r"Row 3 of data.csv cannot be read .*quotes"),
        ("\nt,y\n1,2\n2,3\n", r"Row 1 of data.csv is blank"),
        (",\n1,2\n2,3\n", r"Row 1 of data.csv is blank"),
        ("date,y\n31/12/2020,1\n30/12/2020,1\n", r"'31/12/2020' in column 'date', row 2"),
        ("t,y\n1,1_0\n2,2\n3,3\n", r"'1_0' in column 'y', row 2"),
    ):
        with pytest.raises(InputError, match=message):
            read_table(write(tmp_path, text))


def test_labels_are_no_targets(tmp_path):
    table = read_table(write(tmp_path, "id,date,y\n1,2020-01-01,2\n2,2020-01-02,3\n"))
    assert (table.columns.series, table.channels) == (None, ("y",))
    assert "column 'id' is a label by its name: left out" in table.notes


def test_frames_with_nulls_of_pandas_own_and_odd_names():
    frame = pd.DataFrame({"t": [1, 2], "y": pd.array([1, None], "Int64")})
    values = SeriesTable.from_frame(frame).series[0].values
    np.testing.assert_array_equal(values, [[1], [np.nan]])
    for names in ([0, 1], ["t", "t"], ["t", 1.5], ["t", None]):
        with pytest.raises(InputError, match="name of its own"):
            SeriesTable.from_frame(frame.set_axis(names, axis=1))


def test_an_empty_channel(tmp_path):
    path = write(tmp_path, BAD["empty channel"][0])
    for target in (None, ["y", "z"]):
        with pytest.raises(
            InputError,
            match=r"Column 'z' of data.csv has no .*value, from row 2 to row 3.*--target",
        ):
            read_table(path, target=target)
    assert read_table(path, target="y").channels == ("y",)


def test_lines_may_end_as_on_an_old_mac(tmp_path):
    expected = read_table(write(tmp_path, GOOD)).to_frame()
    old = write(tmp_path, GOOD.replace("\n", "\r"), "mac.csv")
    pd.testing.assert_frame_equal(read_table(old).to_frame(), expected)


def test_quotes_and_separators_within_cells(tmp_path):
    rows = ['t, "kind of pipe",y', '1,5" pipe,1', '2,"5"" pipe",2', '3, "a,b",3', '4,"a,b",']
    table = read_table(write(tmp_path, "\n".join(rows)), series="kind of pipe")
    assert [(one.name, len(one)) for one in table.series] == [('5" pipe', 2), ("a,b", 2)]
    np.testing.assert_array_equal(table.series[1].values, [[3], [np.nan]])


def test_names_that_count_from_nought_are_names(tmp_path):
    table = read_table(write(tmp_path, "0,1\n5,1.5\n6,1\n"), time="0")
    assert table.channels == ("1",)


def test_empty_names_are_no_names(tmp_path):
    for option in ("time", "series", "target"):
        with pytest.raises(InputError, match="no column ''"):
            read_table(write(tmp_path, GOOD), **{option: ""})


@pytest.mark.parametrize(
    ("name", "first", "words"),
    [
        ("timestamp", 1_577_836_800, "seconds since 1970 .*2020-01-01"),
        ("time", 1_577_836_800_000, "milliseconds since 1970 .*2020-01-01"),
        ("date", 43_831, "days of a spreadsheet .*2020-01-01"),
        ("date", 12, None),
        ("t", 43_831, None),
    ],
)
def test_numbers_that_may_be_dates_are_taken_as_numbers_and_noted(tmp_path, name, first, words):
    path = write(tmp_path, f"{name},y\n{first},1\n{first + 1},2\n")
    table = read_table(path, time=name)
    assert table.axis.kind == "number"
    assert table.series[0].times[0] == first
    found = [note for note in table.notes if "plain numbers" in note]
    assert len(found) == (words is not None)
    assert words is None or re.search(words, found[0])


@pytest.mark.parametrize("kind", [int, float])
def test_compact_dates_in_a_frame_are_refused(kind):
    frame = pd.DataFrame({"t": np.array([20200131, 20200201], kind), "y": [1.0, 2.0]})
    with pytest.raises(
        InputError, match=r"'t' of the data frame, such as 20200131, look like dates"
    ):
        SeriesTable.from_frame(frame)


def test_workbooks_and_archives(tmp_path):
    with zipfile.ZipFile(tmp_path / "data.xlsx", "w") as archive:
        archive.writestr("xl/workbook.xml", "<x/>")
    with pytest.raises(InputError, match=r"data.xlsx looks like .*Excel.*CSV"):
        read_table(tmp_path / "data.xlsx")


def test_false_and_damaged_parquet(tmp_path):
    with pytest.raises(InputError, match=r"data.parquet looks like text"):
        read_table(write(tmp_path, GOOD, "data.parquet"))
    with pytest.raises(InputError, match="damaged Parquet"):
        read_table(write(tmp_path, b"PAR1 and then nothing", "data.parquet"))


def test_no_file_and_a_folder(tmp_path):
    with pytest.raises(InputError, match=r"no file .*absent\.csv"):
        read_table(tmp_path / "absent.csv")
    with pytest.raises(InputError, match="is a folder"):
        read_table(tmp_path)


def test_unknown_columns_are_corrected(tmp_path):
    path = write(tmp_path, GOOD)
    for option in ("time", "series", "target"):
        with pytest.raises(InputError, match=r"no column 'wnid'. Did you mean 'wind'\?.*'sst'"):
            read_table(path, **{option: "wnid"})
    with pytest.raises(InputError, match="'sst' is asked for twice"):
        read_table(path, time="sst", target="sst")


def test_sort_and_duplicates_mend(tmp_path):
    path = write(tmp_path, "t,y,z\n3,1,1\n1,2,\n1,4,\n2,5,8\n")
    with pytest.raises(InputError, match="--sort"):
        read_table(path, duplicates="mean")
    expected = {"mean": 3, "first": 2, "last": 4}
    for duplicates, value in expected.items():
        (one,) = read_table(path, sort=True, duplicates=duplicates).series
        np.testing.assert_array_equal(one.times, [1, 2, 3])
        np.testing.assert_array_equal(one.values, [[value, np.nan], [5, 8], [1, 1]])
    with pytest.raises(InputError, match="not 'median'"):
        read_table(path, duplicates="median")


def test_a_text_that_does_not_tell_rows_apart_is_no_series(tmp_path):
    table = read_table(
        write(tmp_path, "date,y,sky\n2020/1/1,1,sun\n2020/1/2,2,sun\n2020/1/3,2,rain\n")
    )
    assert table.columns.series is None
    assert "column 'sky' is text: left out" in table.notes
    table = read_table(
        write(tmp_path, "date,y,sky\n2020-01,1,a\n2020-02,2,a\n2020-01,2,b\n2020-02,1,b\n")
    )
    assert table.columns.series == "sky"


@pytest.mark.parametrize("kind", [pd.DataFrame, pl.DataFrame])
def test_frames_count_rows_from_nought(kind):
    good = {"t": [1.0, 2.0, 3.0], "id": ["a", "a", "a"], "y": [1.0, None, 3.0]}
    np.testing.assert_array_equal(
        SeriesTable.from_frame(kind(good)).series[0].values[:, 0], [1, np.nan, 3]
    )
    with pytest.raises(InputError, match=r"column 't', row 1 \(counted from 0\) of the data frame"):
        SeriesTable.from_frame(kind(good | {"t": [1.0, None, 3.0]}))
    with pytest.raises(InputError, match=r"Infinity in column 'y', row 2 \(counted from 0\)"):
        SeriesTable.from_frame(kind(good | {"y": [1.0, 2.0, float("inf")]}))
    with pytest.raises(InputError, match=r"'x' in column 'y', row 2 \(counted from 0\)"):
        SeriesTable.from_frame(kind(good | {"y": ["1", "2", "x"]}))
    with pytest.raises(InputError, match="no rows below"):
        SeriesTable.from_frame(kind(good)[:0])


def test_a_frame_without_columns_has_no_rows():
    for frame in (pd.DataFrame(), pl.DataFrame()):
        with pytest.raises(InputError, match="no rows below"):
            SeriesTable.from_frame(frame)


def test_what_is_no_frame():
    with pytest.raises(InputError, match="list is not a data frame"):
        SeriesTable.from_frame([1, 2])


@pytest.mark.parametrize("zone", [None, "UTC", "Europe/Berlin"])
def test_time_zones_come_back(zone):
    times = pd.date_range("2020-03-28 22:00", periods=6, freq="h", tz=zone)
    frame = pd.DataFrame({"when": times, "y": np.arange(6.0)})
    table = SeriesTable.from_frame(frame)
    assert table.axis.timezone == zone
    np.testing.assert_allclose(np.diff(table.series[0].times), 1 / 24, rtol=1e-6)
    np.testing.assert_array_equal(table.axis.to_number(times), table.series[0].times)
    back = table.to_frame()["when"]
    assert (back == frame["when"]).all() and back.dt.tz == frame["when"].dt.tz
    when = pl.Series("when", times.tz_convert(None).to_numpy() if zone else times.to_numpy())
    if zone is not None:
        when = when.dt.replace_time_zone("UTC").dt.convert_time_zone(zone)
    polars = SeriesTable.from_frame(pl.DataFrame({"when": when, "y": np.arange(6.0)}))
    assert polars.axis == table.axis
    np.testing.assert_array_equal(polars.series[0].times, table.series[0].times)


def test_offsets_in_text_are_one_instant(tmp_path):
    text = "time,y\n2020-01-01T12:00+02:00,1\n2020-01-01T11:00Z,2\n"
    table = read_table(write(tmp_path, text))
    assert table.axis.timezone == "UTC"
    np.testing.assert_allclose(np.diff(table.series[0].times), 1 / 24)


cell = st.none() | st.floats(-1e6, 1e6)
some_series = st.dictionaries(
    st.integers(0, 3_000_000_000), st.tuples(cell, cell), min_size=2, max_size=9
).filter(lambda part: any(cells != (None, None) for cells in part.values()))


@settings(max_examples=30, deadline=None)
@given(parts=st.dictionaries(st.sampled_from(["a", "b", "NA", "7"]), some_series, min_size=1))
def test_csv_and_frame_agree_and_round_trip(parts, tmp_path_factory):
    rows = [
        (second, name, *cells) for name, part in parts.items() for second, cells in part.items()
    ]
    rows = [(0, "seen", 0.0, 0.0), (1, "seen", 0.0, 0.0), *sorted(rows, key=lambda row: row[:2])]
    frame = pd.DataFrame(rows, columns=["when", "name", "y", "z"]).astype({"y": float, "z": float})
    frame["when"] = pd.to_datetime(frame["when"], unit="s")
    options = {"time": "when", "series": "name", "target": ("y", "z")}
    table = SeriesTable.from_frame(frame, **options)
    path = tmp_path_factory.mktemp("csv") / "x.csv"
    frame.to_csv(path, index=False)
    pd.testing.assert_frame_equal(read_table(path, **options).to_frame(), table.to_frame())
    back = table.to_frame().sort_values(["when", "name"], ignore_index=True)
    expected = frame.sort_values(["when", "name"], ignore_index=True)
    assert (back["when"] == expected["when"]).all() and (back["name"] == expected["name"]).all()
    np.testing.assert_array_equal(back[["y", "z"]], expected[["y", "z"]])
