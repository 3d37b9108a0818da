"""Tables of segments, of this package and of other programs: each says the same as the segments written by hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.sr.coding import Code

from building import build, parent_of, written
from dciodvfy import errors
from derived_series import BuildContext, Segment, segments, segments_from
from derived_series.dicom.modules.cielab import cielab
from derived_series.dicom.modules.codes import meaning_doubt
from derived_series.dicom.modules.segments_from import TABLES, segments_of_text
from derived_series.errors import BlueprintError, InvalidRequest
from derived_series.jobs.requests.derive import DeriveRequest
from derived_series.jobs.work.options import options_of
from derived_series.pipelines.run import extra_blueprint
from phantoms import ct_phantom

PARENT = parent_of(ct_phantom(4, 16, 16))
KIDNEY = Segment(3, "left kidney", Code("64033007", "SCT", "Kidney"), modifier="Left", color="#c86432")
LIVER = Segment(1, "liver", "Liver", color="#dd8265")

#: To the letter of what ITK-SNAP writes.
ITK_SNAP = """################################################
# ITK-SnAP Label Description File
# File format:
# IDX   -R-  -G-  -B-  -A--  VIS MSH  LABEL
# Fields:
#    IDX:   Zero-based index
#    -R-:   Red color component (0..255)
#    -G-:   Green color component (0..255)
#    -B-:   Blue color component (0..255)
#    -A-:   Label transparency (0.00 .. 1.00)
#    VIS:   Label visibility (0 or 1)
#    MSH:   Label mesh visibility (0 or 1)
#  LABEL:   Label description
################################################
    0     0    0    0        0  0  0    "Clear Label"
    1   221  130  101        1  1  1    "liver"
    3   200  100   50      0.5  1  1    "left kidney"
"""
SLICER = """# Color table file Segmentation-label_ColorTable.ctbl
# 3 values
0 Background 0 0 0 0
1 liver 221 130 101 255
3 "left kidney" 200 100 50 255
"""
FREESURFER = """#No. Label Name:                            R   G   B   A

1   liver                             221 130 101   0
3   left_kidney                       200 100 50    0
"""
BIDS = (
    "index\tname\tabbreviation\tcolor\tmapping\n"
    "0\tBackground\tBG\t#000000\tn/a\n1\tliver\tL\t#dd8265\tn/a\n3\tleft kidney\tn/a\t#c86432\t7\n"
)
SLICER_CSV = (
    "LabelValue,Name,Color_R,Color_G,Color_B,Color_A,Type_CodingScheme,Type_CodeValue,Type_CodeMeaning,"
    "TypeModifier_CodingScheme,TypeModifier_CodeValue,TypeModifier_CodeMeaning\n"
    "1,liver,221,130,101,255,SCT,10200004,Liver,,,\n"
    '3,"left kidney",200,100,50,255,SCT,64033007,Kidney,SCT,7771000,Left\n'
)
OWN = "Number;Name;Type;Laterality;Colour\n1;liver;Liver;;#dd8265\n3;left kidney;SCT^64033007^Kidney;Left;#c86432\n"
DCMQI = json.dumps(
    {
        "ContentCreatorName": "Reader1",
        "segmentAttributes": [
            [
                {
                    "labelID": 1,
                    "SegmentLabel": "liver",
                    "SegmentAlgorithmType": "AUTOMATIC",
                    "SegmentAlgorithmName": "derived_series",
                    "SegmentedPropertyCategoryCodeSequence": {
                        "CodeValue": "91723000",
                        "CodingSchemeDesignator": "SCT",
                        "CodeMeaning": "Anatomical Structure",
                    },
                    "SegmentedPropertyTypeCodeSequence": {
                        "CodeValue": "10200004",
                        "CodingSchemeDesignator": "SCT",
                        "CodeMeaning": "Liver",
                    },
                    "recommendedDisplayRGBValue": [221, 130, 101],
                }
            ],
            [
                {
                    "labelID": 3,
                    "SegmentLabel": "left kidney",
                    "SegmentedPropertyTypeCodeSequence": {
                        "CodeValue": "64033007",
                        "CodingSchemeDesignator": "SCT",
                        "CodeMeaning": "Kidney",
                    },
                    "SegmentedPropertyTypeModifierCodeSequence": {
                        "CodeValue": "7771000",
                        "CodingSchemeDesignator": "SCT",
                        "CodeMeaning": "Left",
                    },
                    "recommendedDisplayRGBValue": [200, 100, 50],
                }
            ],
        ],
    }
)


def items(blueprint: Any) -> list[Dataset]:
    return list(blueprint["SegmentSequence"].value)


@pytest.mark.parametrize("text", [SLICER_CSV, OWN, DCMQI], ids=["Slicer's CSV", "a heading", "dcmqi"])
def test_codes_colours_and_sides_are_those_of_the_table(text: str) -> None:
    assert items(segments_of_text(text)) == items(segments(LIVER, KIDNEY))


@pytest.mark.parametrize("text", [ITK_SNAP, SLICER, FREESURFER, BIDS], ids=["ITK-SNAP", "Slicer", "FreeSurfer", "BIDS"])
def test_names_and_colours_are_those_of_the_table(text: str, tmp_path: Path) -> None:
    file = tmp_path / "table.txt"
    file.write_text(text, encoding="utf-8-sig")
    first, second = items(segments_from(file))
    assert (first.SegmentNumber, first.SegmentLabel, second.SegmentNumber) == (1, "liver", 3)
    assert second.SegmentLabel.replace("_", " ") == "left kidney"
    wanted = items(segments(LIVER, KIDNEY))
    assert [item.RecommendedDisplayCIELabValue for item in (first, second)] == [
        item.RecommendedDisplayCIELabValue for item in wanted
    ]


@pytest.mark.parametrize("name", TABLES)
def test_tables_of_the_package_have_no_code_of_another_meaning(name: str) -> None:
    numbers = set()
    for item in items(segments_from(name)):
        numbers.add(item.SegmentNumber)
        (of_type,) = item.SegmentedPropertyTypeCodeSequence
        for code in (of_type, *item.SegmentedPropertyCategoryCodeSequence):
            assert meaning_doubt(code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning) is None, (
                item.SegmentLabel
            )
        side = of_type.get("SegmentedPropertyTypeModifierCodeSequence")
        for region in item.get("AnatomicRegionSequence", ()):
            side = side or region.get("AnatomicRegionModifierSequence")
        words = item.SegmentLabel.casefold().replace("-", "_").split("_")
        sides = [word for word in ("left", "right") if word in words]
        if sides and "atrial" not in words and "lobe" not in words:
            assert side and side[0].CodeMeaning.casefold() == sides[0], item.SegmentLabel
    assert len(numbers) > 100 and {"totalsegmentator": 117, "freesurfer": 2035}[name] == max(numbers)


def test_a_cell_without_a_value_of_bids() -> None:
    (item,) = items(segments_of_text("index\tname\tcolor\n4\tnode\tn/a\n"))
    assert item.SegmentLabel == "node" and item == items(segments(Segment(4, "node")))[0]


def test_dcmqis_own_example() -> None:
    """Its doc/examples/seg-example.json, with what its schema has beside."""
    liver = {
        "labelID": 1,
        "SegmentDescription": "Liver Segmentation",
        "SegmentAlgorithmType": "SEMIAUTOMATIC",
        "SegmentAlgorithmName": "SlicerEditor",
        "SegmentedPropertyCategoryCodeSequence": {
            "CodeValue": "91723000",
            "CodingSchemeDesignator": "SCT",
            "CodeMeaning": "Anatomical Structure",
        },
        "SegmentedPropertyTypeCodeSequence": {
            "CodeValue": "10200004",
            "CodingSchemeDesignator": "SCT",
            "CodeMeaning": "Liver",
        },
        "AnatomicRegionSequence": {
            "CodeValue": "818981001",
            "CodingSchemeDesignator": "SCT",
            "CodeMeaning": "Abdomen",
        },
        "TrackingIdentifier": "Lesion 1",
        "TrackingUniqueIdentifier": "2.25.5",
        "recommendedDisplayRGBValue": [221, 130, 101],
    }
    document = {
        "ContentCreatorName": "Doe^John",
        "ClinicalTrialSeriesID": "Session1",
        "ClinicalTrialTimePointID": "1",
        "SeriesDescription": "Segmentation",
        "SeriesNumber": "300",
        "InstanceNumber": "1",
        "segmentAttributes": [[liver]],
        "ContentLabel": "SEGMENTATION",
        "ContentDescription": "Image segmentation",
        "BodyPartExamined": "",
    }
    (item,) = items(segments_of_text(json.dumps(document, indent=2)))
    assert (item.SegmentNumber, item.SegmentLabel) == (1, "Liver Segmentation")
    assert (item.SegmentAlgorithmType, item.SegmentAlgorithmName) == ("SEMIAUTOMATIC", "SlicerEditor")
    assert item.AnatomicRegionSequence[0].CodeValue == "818981001"
    assert (item.TrackingID, item.TrackingUID) == ("Lesion 1", "2.25.5")


def test_colours_are_the_published_ones() -> None:
    """Of FreeSurferColorLUT.txt, and of TotalSegmentator's table."""
    published = {
        "freesurfer": {3: "#cd3e4e", 13: "#0c30ff", 52: "#0d30ff", 63: "#00c8dd", 1033: "#464646", 2033: "#464646"},
        "totalsegmentator": {1: "#32aa3c", 2: "#226688", 3: "#2e8ab8"},
    }
    for name, colors in published.items():
        described = {item.SegmentNumber: item for item in items(segments_from(name))}
        for number, color in colors.items():
            assert described[number].RecommendedDisplayCIELabValue == cielab(color), (name, number)


def test_known_rows() -> None:
    organs = {item.SegmentNumber: item for item in items(segments_from("totalsegmentator"))}
    assert (organs[1].SegmentLabel, organs[5].SegmentLabel, organs[117].SegmentLabel) == (
        *("spleen", "liver", "costal_cartilages"),
    )
    assert organs[5].SegmentedPropertyTypeCodeSequence[0].CodeValue == "10200004"
    brain = {item.SegmentNumber: item for item in items(segments_from("freesurfer"))}
    assert (brain[53].SegmentLabel, brain[2035].SegmentLabel) == ("Right-Hippocampus", "ctx-rh-insula")
    assert brain[53].SegmentedPropertyTypeCodeSequence[0].CodeValue == "5366008"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "describes no segment"),
        ("number,colour\n1,#ffffff", "its heading is"),
        ("number,name\nfive,x", "line 2 has the number 'five'"),
        ("number,name\n1,x\n1,y", "described twice: 1"),
        ("number,name,type\n4,x,Livre", "label 4: 'Livre' is not a code"),
        ("1 liver 300 0 0 255", "line 1 has the colour 300 0 0"),
        ("1 liver", "line 1 is '1 liver'"),
        ("{", "is not JSON"),
        ("{}", "has no segmentAttributes"),
        ('{"segmentAttributes": [[{}]]}', "item 1 of segmentAttributes has no labelID"),
        ("70000 x 1 1 1 1", "labels are 1 to 65535"),
        ("number,name,trackinguid\n1,x,1.02", "is not a UID"),
    ],
)
def test_what_is_wrong_in_a_table_is_named(text: str, problem: str) -> None:
    with pytest.raises(BlueprintError, match=problem):
        segments_of_text(text, "mine.csv")


BACKGROUND = [Segment(0, name) for name in ("Background", "Clear Label", "unknown", "_background_", "???")]


@pytest.mark.parametrize("background", BACKGROUND, ids=lambda segment: segment.label)
def test_a_list_of_segments_may_name_the_background(background: Segment) -> None:
    assert items(segments(background, LIVER)) == items(segments(LIVER))
    described = [{"Number": 0, "Label": background.label}, {"Number": 1, "Label": "liver"}]
    asked = DeriveRequest.of({"Blueprint": "segmentation", "Factory": "segmentation", "Segments": described})
    assert [item.SegmentNumber for item in items(options_of(asked, "Strict").extra)] == [1]
    table = f"index\tname\n0\t{background.label}\n1\tliver\n"
    assert [item.SegmentNumber for item in items(segments_of_text(table))] == [1]


@pytest.mark.parametrize("name", ["liver", "肝臓", "Segment 0"])
def test_labels_that_are_counted_from_0_are_refused(name: str) -> None:
    """A label map has 0 where nothing is: each segment would have the name of the next."""
    with pytest.raises(BlueprintError, match="labels are 1 to 65535") as caught:
        segments(Segment(0, name), Segment(1, "spleen"))
    assert "0 is what belongs to no segment" in str(caught.value.remedy)
    with pytest.raises(BlueprintError, match="labels are 1 to 65535"):
        segments_of_text(f"index\tname\n0\t{name}\n1\tspleen\n")


@pytest.mark.parametrize(
    "text",
    [
        '{"channel_names": {"0": "CT"}, "labels": {"background": 0, "liver": 1, "tumour": 2}, "file_ending": ".nii"}',
        '{"modality": {"0": "CT"}, "labels": {"0": "background", "1": "liver", "2": "tumour"}}',
        '{"1": "liver", "2": "tumour"}',
        '{"background": 0, "liver": 1, "tumour": 2}',
    ],
)
def test_names_and_labels_of_nnu_net(text: str) -> None:
    named = [(item.SegmentNumber, item.SegmentLabel) for item in items(segments_of_text(text))]
    assert named == [(1, "liver"), (2, "tumour")]


@pytest.mark.parametrize(
    ("labels", "problem"),
    [
        ('{"whole tumour": [1, 2], "core": [2]}', "'whole tumour' is of several labels"),
        ('{"liver": 1.5}', "'liver' has the label 1.5"),
        ('{"liver": true}', "'liver' has the label True"),
        ('{"liver": 1, "spleen": 1}', "described twice: 1"),
    ],
)
def test_labels_of_nnu_net_that_are_not_of_a_label_map(labels: str, problem: str) -> None:
    with pytest.raises(BlueprintError, match=problem.replace(".", r"\.")):
        segments_of_text(f'{{"labels": {labels}}}', "dataset.json")


def test_a_table_that_there_is_not() -> None:
    with pytest.raises(BlueprintError, match=r"'no\.csv' cannot be read.*") as caught:
        segments_from("no.csv")
    assert "totalsegmentator" in caught.value.remedy  # type: ignore[operator]


@pytest.mark.parametrize("blueprint", ["segmentation", "label_map_segmentation"])
def test_of_a_table_an_object_has_what_has_voxels(blueprint: str) -> None:
    image = np.zeros(PARENT.shape, np.uint8)
    image[1:3, 2:6, 2:6], image[1:3, 8:12, 2:6] = 5, 3
    series = build(PARENT, image, segments_from("totalsegmentator"), blueprint=blueprint)
    dataset = written(series)[0]
    assert [item.SegmentLabel for item in dataset.SegmentSequence if item.SegmentNumber] == ["kidney_left", "liver"]
    assert not any("no voxel" in warning for warning in series.warnings)
    if blueprint == "segmentation":
        assert errors(series.encode(0)) == []


def test_regions_and_tracking() -> None:
    tumour = Segment(
        *(1, "tumour", Code("108369006", "SCT", "Neoplasm"), "MorphologicallyAbnormalStructure"),
        region="Lung",
        region_modifier="Right",
        tracking_id="lesion 1",
    )
    named = Segment(2, "node", "LymphNode", tracking_id="lesion 2", tracking_uid="2.25.77")
    image = np.zeros(PARENT.shape, np.uint8)
    image[1, :4], image[2, 8:] = 1, 2
    series = build(
        PARENT, image, segments(tumour, named), blueprint="segmentation", context=BuildContext(uid_seed="job")
    )
    first, second = written(series)[0].SegmentSequence
    (region,) = first.AnatomicRegionSequence
    assert (region.CodeValue, region.AnatomicRegionModifierSequence[0].CodeMeaning) == ("39607008", "Right")
    assert (first.TrackingID, second.TrackingID, second.TrackingUID) == ("lesion 1", "lesion 2", "2.25.77")
    assert first.TrackingUID.startswith("2.25.") and first.TrackingUID != second.TrackingUID
    assert errors(series.encode(0)) == []


def test_tables_of_a_request() -> None:
    base = {"Blueprint": "segmentation", "Factory": "segmentation"}

    def asked(described: Any) -> list[Dataset]:
        return items(options_of(DeriveRequest.of({**base, "Segments": described}), "Strict").extra)

    assert asked("totalsegmentator") == items(segments_from("totalsegmentator"))
    assert asked({"Table": BIDS}) == items(segments_of_text(BIDS))
    rows = [
        {"Number": 1, "Label": "liver", "Type": "Liver", "Color": "#dd8265"},
        {
            **{"Number": 3, "Label": "left kidney", "Modifier": "Left", "Color": "#c86432"},
            "Type": {"Value": "64033007", "Scheme": "SCT", "Meaning": "Kidney"},
        },
    ]
    assert asked(rows) == items(segments(LIVER, KIDNEY))
    for wrong in ("/etc/passwd", "unheard_of"):
        with pytest.raises(InvalidRequest, match="there is no table of segments") as caught:
            extra_blueprint(described=wrong)
        assert "freesurfer" in caught.value.remedy  # type: ignore[operator]


@pytest.mark.parametrize("number", [1.5, True, "1"])
def test_a_number_of_a_segment_that_is_not_whole_is_refused(number: Any) -> None:
    with pytest.raises(BlueprintError, match="not a whole one"):
        Segment(number, "Liver").item()
