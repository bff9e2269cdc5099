"""The stays of PhysioNet 2012: a made miniature in the challenge's format, and the real ones."""

from __future__ import annotations

import io
import tarfile

import numpy as np
import pytest

from isocline.data import load_physionet, physionet
from isocline.data.physionet import VARIABLES
from isocline.errors import InputError

from ..conftest import needs_data

FIRST = """Time,Parameter,Value
00:00,RecordID,7
00:00,Age,54
00:00,Gender,0
00:00,Height,-1
00:00,ICUType,4
00:00,Weight,-1
00:07,HR,73
00:07,GCS,15
01:07,HR,77
01:07,HR,79
48:00,Temp,-17.8
"""
SECOND = "Time,Parameter,Value\n00:00,RecordID,3\n00:00,Age,81\n00:00,Weight,60.5\n00:10,,5\n"
OUTCOMES = """RecordID,SAPS-I,SOFA,Length_of_stay,Survival,In-hospital_death
3,6,1,5,2,1
7,16,8,8,-1,0
"""


@pytest.fixture
def write(tmp_path):
    """Writes the miniature, with other texts where they are given."""

    def make(texts=(FIRST, SECOND), outcomes=OUTCOMES):
        records, table = tmp_path / "set-a.tar.gz", tmp_path / "Outcomes-a.txt"
        with tarfile.open(records, "w:gz") as tar:
            for index, text in enumerate(texts):
                member = tarfile.TarInfo(f"set-a/{index}.txt")
                member.size = len(text)
                tar.addfile(member, io.BytesIO(text.encode()))
        table.write_text(outcomes)
        return records, table

    return make


def test_the_challenges_files_are_read(write):
    stays = load_physionet(*write())
    assert stays.records.tolist() == [3, 7] and stays.died.tolist() == [True, False]
    names = [
        [VARIABLES[index] for index in stays.variable[first:last]]
        for first, last in zip(stays.start, stays.start[1:])
    ]
    assert names[0] == ["Age", "Weight"]
    assert names[1] == ["Age", "Gender", "ICUType", "GCS", "HR", "HR", "HR", "Temp"]
    np.testing.assert_array_equal(stays.minutes[2:], [0, 0, 0, 7, 7, 67, 67, 2880])
    # Not known is left out; what is merely impossible, or written twice, is as it was written.
    np.testing.assert_array_equal(stays.values[2:], np.float32([54, 0, 4, 15, 73, 77, 79, -17.8]))


@pytest.mark.parametrize(
    ("texts", "outcomes", "message"),
    [
        ((FIRST.replace("00:07,HR", "0007,HR"), SECOND), OUTCOMES, r"Row 8 of 0\.txt"),
        ((FIRST.replace(",HR,73", ",Pulse,73"), SECOND), OUTCOMES, "00:07,Pulse,73"),
        ((FIRST, "a,b\n1,2\n"), OUTCOMES, r"1\.txt does not begin"),
        ((FIRST, SECOND.replace("RecordID", "Age")), OUTCOMES, "no row with its RecordID"),
        ((), OUTCOMES, "no text file of a stay"),
        ((FIRST, SECOND), OUTCOMES.replace("7,16", "8,16"), "no outcome of stay 7"),
        ((FIRST, SECOND), OUTCOMES.replace("-1,0", "-1,2"), r"Row 3 of Outcomes-a\.txt"),
        ((FIRST, SECOND), "RecordID,Death\n", "no columns RecordID and In-hospital_death"),
    ],
)
def test_what_is_wrong_is_named(write, texts, outcomes, message):
    with pytest.raises(InputError, match=message):
        load_physionet(*write(texts, outcomes))


def test_a_damaged_tar_is_named(write):
    records, outcomes = write()
    records.write_bytes(records.read_bytes()[:60])
    with pytest.raises(InputError, match="not a whole tar file"):
        load_physionet(records, outcomes)
    with pytest.raises(InputError, match="or neither"):
        load_physionet(records)


def test_another_set_is_not_taken_for_set_a(write, monkeypatch):
    """What is downloaded has no checksum: its content is looked at."""
    records, outcomes = write()
    monkeypatch.delenv("ISOCLINE_DATA", raising=False)
    files = {"physionet2012_records": records, "physionet2012_outcomes": outcomes}
    monkeypatch.setattr(physionet, "fetch", files.get)
    with pytest.raises(InputError, match="4000 stays with 554 deaths: there are 2 with 1"):
        load_physionet()
    monkeypatch.setattr(physionet, "_STAYS", 2)
    monkeypatch.setattr(physionet, "_DEATHS", 1)
    with pytest.warns(UserWarning, match="differ from those that Isocline was tested with"):
        load_physionet()


@needs_data
def test_the_real_stays():
    stays = load_physionet()
    assert len(stays.records) == 4000 and stays.died.sum() == 554
    assert physionet.digest_of_stays(stays) == physionet._CONTENT
    ages = stays.values[stays.variable == VARIABLES.index("Age")]
    assert len(ages) == 4000 and (ages.min(), ages.max()) == (15, 90)
    assert stays.minutes.max() == 2880
    for first, last in zip(stays.start[:50], stays.start[1:]):
        assert (np.diff(stays.minutes[first:last]) >= 0).all()


def test_the_first_stays_are_a_part(write):
    stays = load_physionet(*write())
    assert stays.first(None).values.tolist() == stays.values.tolist()
    (alone,) = stays.first(1).records
    assert (
        alone == 3 and len(stays.first(1).values) == 2 and stays.first(1).start.tolist() == [0, 2]
    )
