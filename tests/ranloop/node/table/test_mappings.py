"""The shipped mappings: each is recognised by its header alone, cites its source, and means what the tool means."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path

import pytest

from ranloop.node import ReplayWorld, open_world
from ranloop.node.table import load_mapping, shipped_mappings
from tests.ranloop.node.table.played import played, write


def lines(*rows: str, separator: str = ",") -> str:
    return "\n".join(row.replace(",", separator) for row in rows) + "\n"


SRSRAN = {"pci": 1, "rnti": 17921, "cqi": 12, "dl_mcs": 20, "dl_brate": 291680.0, "ul_brate": 5000.0, "dl_nof_ok": 352,
          "dl_nof_nok": 8, "dl_bs": 125, "pusch_snr_db": 24.0}  # fmt: skip
OF_SRSRAN: Mapping[str, float] = {
    "CQI": 12, "X.UE.MeanMcsDl": 20, "DRB.UEThpDl": 291.68, "DRB.UEThpUl": 5, "TB.TotNbrDl": 360, "TB.ErrTotNbrDl": 8,
    "X.DRB.BufferedVolDl": 1,
}  # fmt: skip

# Mapping -> a table of that tool with two rows of one target, and what the second row measures.
TABLES: Mapping[str, tuple[str, Mapping[str, float]]] = {
    "colosseum": (
        lines(
            "Timestamp,num_ues,IMSI,RNTI,,slice_id,dl_mcs,dl_n_samples,dl_buffer [bytes],tx_brate downlink [Mbps],dl_cqi,,"
            "rx_brate uplink [Mbps]",
            "1617070531726,6,1010123456002,82,,2,4.12121,33,0,0.009184,8,,0.113376",
            "1617070531975,6,1010123456002,82,,2,0.181818,22,250,0.00276305,5.66667,,0.1",
        ),
        {"DRB.UEThpDl": 2.76305, "DRB.UEThpUl": 100, "CQI": 5.66667, "X.UE.MeanMcsDl": 0.181818, "X.DRB.BufferedVolDl": 2},
    ),
    "flexric-mac": (
        lines(
            "tstamp,nb_id,rnti,dl_aggr_tbs,wb_cqi,dl_mcs1,dl_harq_round0,dl_harq_round1,dlsch_errors",
            "1700000000000000,3584,9261,100,15,9,1000,20,0",
            "1700000000100000,3584,9261,900,14,10,1100,25,1",
        ),
        {"CQI": 14, "X.UE.MeanMcsDl": 10, "TB.TotNbrDlInitial": 100, "TB.IntialErrNbrDl": 5, "TB.ResidualErrNbrDl": 1},
    ),
    "gnettrack": (
        lines(
            "Timestamp,NetworkMode,RSRP,DL_bitrate,State,RAWCELLID",
            "2019.11.28_07.00.00,5G,-100,20000,D,11016972",
            "2019.11.28_07.00.01,LTE,-101,10,V,11016972",
        ),
        {"RSRP": -101, "X.UE.AppThpDl": 10, "X.UE.NrMode": 0, "X.UE.Downloading": 0},
    ),
    "gnettrack-4g": (
        lines(
            "Timestamp,CellID,NetworkMode,RSRP,CQI,DL_bitrate,State,ServingCell_Lon,ServingCell_Lat,ServingCell_Distance",
            "2017.11.22_10.07.03,2,LTE,-119,6,5178,D,-8.49,51.89,609.7",
            "2017.11.22_10.07.04,3,LTE,-116,6,5178,I,-8.49,51.89,609.7",
        ),
        {"RSRP": -116, "CQI": 6, "X.UE.AppThpDl": 5178, "X.UE.NrMode": 0, "X.UE.Downloading": 0},
    ),
    "gnettrack-raw": (
        lines(
            "Timestamp,Node,CellID,NetworkTech,Level,Qual,SNR,CQI,LTERSSI",
            "2025.07.18_22.11.08,1032,1,3G,-75,-5,-,-,-,",
            "2025.07.18_22.11.09,1032,1,4G,-94,-14,0.0,-,-81,",
            separator="\t",
        ),
        {"RSRP": -94, "RSRQ": -14, "X.UE.Snr": 0, "X.UE.Rssi": -81, "X.UE.NrMode": 0},
    ),
    "osc-ad-ue": (
        lines(
            "UEPDCPBytesDL,UEPRBUsageDL,S_RSRP,S_RSRQ,S_SINR,N1_RSRP,UEID,ServingCellID,MeasTimestampRF",
            "290000,25,-48,-3.4,25,-53,12345,555002,2020-11-05 13:44:03.034550",
            "280000,25,-44,-3.0,24,-49,12345,555002,2020-11-05 13:44:03.054550",
        ),
        {"RSRP": -44, "RSRQ": -3, "L1M.DL-SS-SINR": 24, "X.UE.NeighbourRsrp": -49, "DRB.PdcpSduVolumeDL": 2240},
    ),
    "osc-kpimon-cell": (
        "\n".join(
            json.dumps({"CellID": "c2/B13", "MeasTimestampPDCPBytes": f"2020-03-18 02:23:18.2{k}0", "MeasPeriodPDCPBytes": 20,
                        "PDCPBytesDL": 2000000, "AvailPRBDL": 273 - k})
            for k in (2, 4)
        ),
        {"DRB.PdcpSduVolumeDL": 16_000, "RRU.PrbAvailDl": 269},
    ),
    "srsran": (
        "\n".join(json.dumps({"timestamp": 1.7e9 + k, "cells": [{"cell_metrics": {}, "ue_list": [SRSRAN]}]}) for k in (0, 1)),
        OF_SRSRAN,
    ),
    "srsran-2024": (
        "\n".join(json.dumps({"timestamp": 1.7e9 + k, "ue_list": [{"ue_container": SRSRAN}]}) for k in (0, 1)),
        OF_SRSRAN,
    ),
    "srsran4g-enb": (
        lines("time,nof_ue,dl_brate,ul_brate,proc_rmem", "1700000000,2,1.0,1.0,3", "1700000001,3,1.0,1.0,3", "#eof", separator=";"),
        {"RRC.ConnMean": 3},
    ),
    "srsran4g-ue": (
        lines(
            "time,cc,earfcn,pci,rsrp,rsrp_neigh,dl_mcs,dl_snr,dl_brate,ul_brate,rf_o",
            "1000,0,3350,1,-80,n/a,20,30,1e6,2e5,0",
            "2000,0,3350,1,-81,-95,21,31,2e6,3e5,0",
            "2000,1,3350,1,-99,-95,1,1,1,1,0",
            separator=";",
        ),
        {"RSRP": -81, "X.UE.NeighbourRsrp": -95, "X.UE.MeanMcsDl": 21, "X.UE.Snr": 31, "X.UE.AppThpDl": 2000, "X.UE.AppThpUl": 300},
    ),
    "towercollector": (
        lines(
            "mcc,mnc,lac,cell_id,measured_at,net_type,neighboring,device,rsrp,rsrq,rssi,cqi,ss_rsrp",
            '262,1,5,77,"2025-03-01T10:00:00.100Z",LTE,false,"a phone",-90,-10,-60,,',
            '262,1,5,78,"2025-03-01T10:00:00.100Z",LTE,true,"a phone",-99,-15,,,',
            '262,1,5,77,"2025-03-01T10:00:01.100Z",NR,false,"a phone",,-11,-61,9,-91',
        ),
        {"RSRP": -91, "RSRQ": -11, "X.UE.Rssi": -61, "CQI": 9},
    ),
}  # fmt: skip


def test_every_shipped_mapping_is_tried_here() -> None:
    assert TABLES.keys() == shipped_mappings().keys()


@pytest.mark.parametrize("name", TABLES)
def test_a_shipped_mapping_is_recognised_by_the_header_and_means_what_the_tool_means(
    tmp_path: Path, name: str
) -> None:
    text, wanted = TABLES[name]
    world = open_world(f"replay:{write(tmp_path / 'table.txt', text)}")
    assert isinstance(world, ReplayWorld)
    assert not any("by-names" in line for line in world.left_out)
    last = played(world)[-1]
    found = {name: float(last[name][0]) for name in last.names if not math.isnan(last[name][0])}
    assert found == pytest.approx(wanted, rel=1e-6)


@pytest.mark.parametrize("name", TABLES)
def test_a_shipped_mapping_cites_its_source_and_names_each_column_once(name: str) -> None:
    mapping = load_mapping(name)
    assert (mapping.name, bool(mapping.title), bool(mapping.source)) == (name, True, True)
    assert mapping.recognise
    assert not mapping.columns.keys() & mapping.without.keys()


def test_phones_keep_their_cells(tmp_path: Path) -> None:
    for name, cell in (("gnettrack-raw", "1032-1"), ("gnettrack-4g", "3"), ("towercollector", "262-1-77")):
        world = open_world(f"replay:{write(tmp_path / f'{name}.txt', TABLES[name][0])}")
        assert isinstance(world, ReplayWorld)
        assert played(world)[-1].names_of("cell").tolist() == [cell]
