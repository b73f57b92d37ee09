"""`--limits`: an operator's floors and ceilings from the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.builders import write_xapp
from tests.command import Command

SIM = ("--node", "sim:one-cell", "--duration-s", "1.2")
CEILING = '[[limits]]\nname = "calm"\naction = "SetUeWeight"\nparameter = "weight"\nat_most = 1.5\n'


def test_no_manifest_widens_a_limit_and_the_refusal_names_it(ranloop: Command, tmp_path: Path) -> None:
    xapp = write_xapp(tmp_path / "greedy")  # its manifest grants 0.5 to 4, and it wants 2
    (tmp_path / "limits.toml").write_text(CEILING)
    audit = tmp_path / "audit.jsonl"
    done = ranloop("run", xapp, *SIM, "--limits", tmp_path / "limits.toml", "--audit", audit, "--json")
    assert set(json.loads(done.out)["targets"]) == {"refused/limit"}
    refused = [json.loads(line) for line in audit.read_text().splitlines() if '"result"' in line]
    assert all("the operator's limit 'calm' in limits.toml says at most 1.5" in str(line) for line in refused)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (CEILING + 'cell = "site0/0"\n', "SetUeWeight acts on a ue, not on a cell"),
        (
            CEILING.replace("SetUeWeight", "SetTxPower")
            .replace("weight", "tx_power_dbm")
            .replace("1.5", "40")
            + 'cell = "site0/7"\n',
            "calm: no cell 'site0/7'; there is site0/0",
        ),
        (CEILING + 'node = "site3"\n', "calm: no node 'site3'; there is site0"),
        (
            CEILING.replace('weight"\nat', 'wait"\nat'),
            "unknown parameter of SetUeWeight 'wait'; did you mean weight?",
        ),
        (CEILING.replace("1.5", '"many"'), "at_most"),
        ("limits = 3", "limits"),
    ],
)
def test_a_limits_file_that_binds_nothing_is_one_line(
    ranloop: Command, tmp_path: Path, text: str, words: str
) -> None:
    (tmp_path / "limits.toml").write_text(text)
    complaint = ranloop(
        "run", write_xapp(tmp_path / "calm"), *SIM, "--limits", tmp_path / "limits.toml"
    ).complaint
    assert words in complaint
    assert "limits.toml" in complaint


def test_a_limits_file_that_is_not_there_is_one_line(ranloop: Command, tmp_path: Path) -> None:
    complaint = ranloop(
        "host", "sim:one-cell", "--bus", "memory://limits", "--limits", tmp_path / "none.toml"
    ).complaint
    assert "none.toml does not exist" in complaint
