"""Objects of other kinds than the parent, through HTTP into a real Orthanc, and read back from it."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Iterator
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import RLELossless

from derived_series import ParentSeries
from derived_series.dicom.objects.highdicom_planes import close_table
from orthanc_server import REPOSITORY, OrthancServer
from phantoms import ct_phantom
from phantoms_projection import digital_x_ray, ultrasound
from recipes_page import masks_of
from server_fixtures import derive, npy

PDF = b"%PDF-1.4\n1 0 obj<</Type/Catalog>>endobj\ntrailer<</Root 1 0 R>>\n%%EOF\n"


@pytest.fixture(scope="module")
def server(orthanc_installed: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OrthancServer]:
    keys = {"DerivedSeries": {"BlueprintFolders": [str(REPOSITORY / "blueprints")], "Workers": 1}}
    with OrthancServer(tmp_path_factory.mktemp("objects"), keys) as orthanc:
        yield orthanc


@pytest.fixture(scope="module")
def ct(server: OrthancServer) -> str:
    return server.upload(ct_phantom(slices=4))


def labels(shape: tuple[int, ...] = (4, 32, 24)) -> Any:
    label_map = np.zeros(shape, np.uint8)
    label_map[1:3, 4:20, 5:15], label_map[2:, 22:30, 3:9] = 1, 2
    return label_map


def send(server: OrthancServer, series: str, kind: str, data: bytes, **options: Any) -> tuple[Any, Dataset]:
    """The answer, and the one instance of the series as Orthanc gives it back."""
    headers = {"X-Derived-Series-Options": json.dumps(options)} if options else {}
    answer = server.json(f"/series/{series}/derive/{kind}", "POST", data=data, headers=headers)
    (dataset,) = server.download(answer["ID"])
    assert answer["InstancesCount"] == 1 and dataset.SeriesInstanceUID == answer["SeriesInstanceUID"]
    assert dataset.PatientID == "PHANTOM-1"
    study = server.json(f"/series/{series}")["ParentStudy"]
    assert server.json(answer["Path"])["ParentStudy"] == study
    return answer, dataset


def test_a_segmentation(server: OrthancServer, ct: str) -> None:
    parent = ParentSeries.from_datasets(server.download(ct))
    image = nib.Nifti1Image(labels().transpose(2, 1, 0), parent.affine_ras[:, [2, 1, 0, 3]])
    segments = [{"Number": 1, "Label": "Liver", "Type": "10200004", "Color": "#aa0000"}, {"Number": 2, "Label": "Rest"}]
    answer, dataset = send(server, ct, "segmentation/segmentation", image.to_bytes(), Segments=segments)
    assert answer["Warnings"] == []
    assert [item.SegmentLabel for item in dataset.SegmentSequence] == ["Liver", "Rest"]
    assert dataset.NumberOfFrames == 4 and int(dataset.pixel_array.sum()) == np.count_nonzero(labels())
    for frame in dataset.PerFrameFunctionalGroupsSequence:
        source = frame.DerivationImageSequence[0].SourceImageSequence[0].ReferencedSOPInstanceUID
        assert server.json("/tools/find", "POST", json={"Level": "Instance", "Query": {"SOPInstanceUID": source}})
    _, same = send(server, ct, "segmentation/numpy", npy(labels()), Segments=segments)
    assert np.array_equal(same.pixel_array, dataset.pixel_array)
    assert server.json(f"/series/{ct}/derived")


def test_a_label_map_with_a_table_that_no_header_has_room_for(server: OrthancServer, ct: str) -> None:
    """By the JSON route, as any program can send it; highdicom reads what Orthanc gives back."""
    from highdicom.seg import segread

    rows = [f"{number}\torgan {number}, of the right side\t#{number:06x}" for number in range(1, 1500)]
    table = "\n".join(["index\tname\tcolor", *rows])
    assert len(table) > 50_000, "Orthanc refuses headers of half that size"
    image = labels().astype(np.uint16)
    image[image == 2] = 1234
    request = {
        **{"Blueprint": "label_map_segmentation", "Factory": "segmentation", "Segments": {"Table": table}},
        "Image": base64.b64encode(npy(image)).decode(),
    }
    answer = server.json(f"/series/{ct}/derive", "POST", json=request)
    assert answer["Warnings"] == []
    (instance,) = server.json(answer["Path"])["Instances"]
    file = server.get(f"/instances/{instance}/file").content
    segmentation = segread(io.BytesIO(file))
    assert (segmentation.SegmentationType, segmentation.BitsAllocated) == ("LABELMAP", 16)
    assert segmentation.file_meta.TransferSyntaxUID == RLELossless
    described = {item.SegmentNumber: item.SegmentLabel for item in segmentation.SegmentSequence if item.SegmentNumber}
    assert described == {1: "organ 1, of the right side", 1234: "organ 1234, of the right side"}
    volume = segmentation.get_volume(combine_segments=True)
    parent = ParentSeries.from_datasets(server.download(ct))
    array = volume.array
    if volume.affine[:3, 0] @ np.array(parent.require_grid().normal) < 0:
        array = array[::-1]
    assert np.array_equal(array, image)
    close_table(segmentation)


def test_a_parametric_map(server: OrthancServer, ct: str) -> None:
    image = np.random.default_rng(0).random((4, 32, 24), np.float32)
    keys = {"Units": "mm2/s", "Derivation": "DiffusionImageAnalysis"}
    answer, dataset = send(server, ct, "parametric_map/parametric_map", npy(image), **keys)
    assert answer["Warnings"] == []
    values = np.frombuffer(dataset.FloatPixelData, "<f4").reshape(image.shape)
    places = [f.PlanePositionSequence[0].ImagePositionPatient[2] for f in dataset.PerFrameFunctionalGroupsSequence]
    assert np.array_equal(values[np.argsort(places)], image)


def test_a_dose(server: OrthancServer, ct: str) -> None:
    dose = np.random.default_rng(1).gamma(2, 10, (4, 32, 24))
    plan = [{"ReferencedSOPClassUID": "1.2.840.10008.5.1.4.1.1.481.5", "ReferencedSOPInstanceUID": "1.2.3"}]
    keys = {"Derivation": "PixelByPixelAddition", "Replace": {"ReferencedRTPlanSequence": plan}}
    answer, dataset = send(server, ct, "rt_dose/rt_dose", npy(dose), **keys)
    assert answer["Warnings"] == []
    values = dataset.pixel_array * float(dataset.DoseGridScaling)
    assert np.abs(values - dose).max() <= float(dataset.DoseGridScaling) * 0.5000001


def test_pictures_in_colour(server: OrthancServer, ct: str) -> None:
    image = np.random.default_rng(2).integers(0, 256, (4, 32, 24, 3)).astype(np.uint8)
    _, dataset = send(server, ct, "multiframe_secondary_capture/secondary_capture", npy(image))
    assert np.array_equal(dataset.pixel_array, image)
    answer = server.json(f"/series/{ct}/derive/secondary_capture/numpy", "POST", data=npy(image))
    datasets = sorted(server.download(answer["ID"]), key=lambda dataset: int(dataset.InstanceNumber))
    assert np.array_equal([dataset.pixel_array for dataset in datasets], image)


def test_an_enhanced_image(server: OrthancServer, ct: str) -> None:
    _, dataset = send(
        server, ct, "legacy_enhanced_ct/ct", npy(np.arange(4 * 32 * 24, dtype=np.int16).reshape(4, 32, 24))
    )
    assert dataset.NumberOfFrames == 4 and dataset.SOPClassUID.name.startswith("Legacy Converted Enhanced CT")


def test_doubts_are_in_the_answer(server: OrthancServer, ct: str) -> None:
    answer = server.json(f"/series/{ct}/derive/ct/numpy", "POST", data=npy(labels() > 0))
    assert any("mask" in warning for warning in answer["Warnings"])


def test_a_document(server: OrthancServer, ct: str) -> None:
    _, dataset = send(server, ct, "encapsulated_pdf/pdf", PDF, Replace={"DocumentTitle": "Report"})
    assert dataset.EncapsulatedDocument[: dataset.EncapsulatedDocumentLength] == PDF
    (instance,) = server.json("/tools/find", "POST", json={"Level": "Instance", "Query": {"Modality": "DOC"}})
    assert server.get(f"/instances/{instance}/pdf").content.rstrip(b"\0") == PDF


ERRORS: list[tuple[str, bytes, dict[str, Any], int, str]] = [
    ("segmentation/segmentation", npy(labels() * 0.5), {}, 422, "not whole numbers"),
    ("segmentation/segmentation", npy(labels()[1:]), {}, 422, "(3, 32, 24)"),
    ("segmentation/segmentation", npy(labels()), {"Segments": [{"Number": 1, "Label": "L", "Type": "x"}]}, 400, "'x'"),
    (
        "segmentation/segmentation",
        npy(labels()),
        {"Segments": [{"Number": 0, "Label": "L"}]},
        400,
        "'L' has the number 0",
    ),
    ("segmentation/segmentation", npy(labels()), {"Units": "mm"}, 400, '"Units" is for the blueprint parametric_map'),
    (
        "ct/numpy",
        npy(labels()),
        {"Segments": [{"Number": 1, "Label": "L"}]},
        400,
        '"Segments" is for the blueprint segmentation',
    ),
    ("parametric_map/parametric_map", npy(labels()), {"Units": "mm per s"}, 400, "not a UCUM code"),
    ("encapsulated_pdf/pdf", npy(labels()), {}, 400, ".npy file, which the factory pdf does not read"),
    ("rt_dose/rt_dose", npy(labels() - 1.0), {}, 422, "negative"),
    ("ct/numpy", npy(np.stack([labels()] * 3, -1)), {}, 422, "in colour"),
    ("encapsulated_pdf/numpy", npy(labels()), {}, 400, "factory pdf"),
    ("ct/numpy", PDF, {}, 400, "PDF file, which the factory numpy does not read"),
    ("ct/segmentation", npy(labels()), {}, 422, "makes no CT Image Storage"),
]


@pytest.mark.parametrize(("kind", "data", "options", "status", "message"), ERRORS)
def test_errors_name_what_and_store_nothing(
    server: OrthancServer, ct: str, kind: str, data: bytes, options: dict[str, Any], status: int, message: str
) -> None:
    before = server.series_ids()
    headers = {"X-Derived-Series-Options": json.dumps(options)}
    answer = server.post(f"/series/{ct}/derive/{kind}", data=data, headers=headers)
    body = answer.json()
    assert answer.status_code == status, body
    assert message in body["Message"] + str(body.get("Remedy"))
    assert server.series_ids() == before


def test_a_document_without_a_document(server: OrthancServer, ct: str) -> None:
    answer = server.post(f"/series/{ct}/derive", json={"Blueprint": "encapsulated_pdf", "Factory": "pdf"})
    assert answer.status_code == 400 and "no document" in answer.json()["Message"]


def test_a_dry_run_shows_the_object(server: OrthancServer, ct: str) -> None:
    answer = derive(server, ct, Blueprint="parametric_map", Factory="numpy", DryRun=True)
    rows = {row["Keyword"]: row for row in answer["Header"]}
    assert rows["Modality"]["Value"] == "CT" and rows["SharedFunctionalGroupsSequence"]["Blueprint"] == "rules"


def test_the_kinds_are_listed(server: OrthancServer) -> None:
    assert {"segmentation", "parametric_map", "encapsulated_pdf"} <= set(server.json("/derived-series/blueprints"))
    assert {"segmentation", "parametric_map", "pdf"} <= set(server.json("/derived-series/factories"))


def manifest(server: OrthancServer, series: str) -> Any:
    """What the review page reads of a series."""
    return server.json(f"/series/{series}/manifest")


def test_a_digital_x_ray_stays_what_its_parent_is(server: OrthancServer, ct: str) -> None:
    """In a study that has a CT as well."""
    (parent,) = digital_x_ray(inverted=True)
    series = server.upload([parent])
    assert server.json(f"/series/{series}")["ParentStudy"] == server.json(f"/series/{ct}")["ParentStudy"]
    image = np.minimum(parent.pixel_array + 7, 4095)
    answer, dataset = send(server, series, "dx/numpy", npy(image))
    assert dataset.SOPClassUID == parent.SOPClassUID and np.array_equal(dataset.pixel_array, image)
    for keyword in ("PresentationIntentType", "ImageLaterality", "PresentationLUTShape", "PhotometricInterpretation"):
        assert dataset[keyword].value == parent[keyword].value
    assert "ImagePositionPatient" not in dataset
    seen = manifest(server, answer["ID"])
    assert (seen["Kind"], seen["Grid"], seen["Problem"], len(seen["Slices"]["Frame"])) == ("Image", None, None, 1)
    preview = server.json(
        f"/series/{series}/derive/dx/numpy", "POST", data=npy(image),
        headers={"X-Derived-Series-Options": json.dumps({"DryRun": True, "Preview": True})},
    )  # fmt: skip
    assert preview["Preview"]["PNG"]
    for kind, message in (("cr", "the parent is DX"), ("ct", "no positions are in the parent's DX images")):
        refused = server.post(f"/series/{series}/derive/{kind}/numpy", data=npy(image[np.newaxis]))
        assert refused.status_code == 422 and message in refused.text and "blueprint dx" in refused.text


def test_an_ultrasound_of_several_frames_keeps_its_times(server: OrthancServer) -> None:
    (parent,) = ultrasound(frames=3)
    series = server.upload([parent])
    image = 255 - parent.pixel_array
    answer, dataset = send(server, series, "us/us", npy(image))
    assert dataset.SOPClassUID == parent.SOPClassUID and np.array_equal(dataset.pixel_array, image)
    for keyword in ("NumberOfFrames", "FrameTime", "FrameIncrementPointer", "CineRate", "SequenceOfUltrasoundRegions"):
        assert dataset[keyword].value == parent[keyword].value
    assert dataset.SourceImageSequence[0].ReferencedSOPInstanceUID == parent.SOPInstanceUID
    assert manifest(server, answer["ID"])["Slices"]["Frame"] == [0, 1, 2]


@pytest.mark.parametrize("kind", ["label_map_segmentation", "segmentation"])
def test_a_result_of_104_labels_in_one_call(server: OrthancServer, ct: str, kind: str) -> None:
    """Each structure is a segment with its name, where the label map has it; the names come from a table."""
    parent = ParentSeries.from_datasets(server.download(ct))
    label_map = (np.arange(4 * 32 * 24) // 7 % 105).reshape(4, 32, 24).astype(np.uint8)
    image = nib.Nifti1Image(label_map.transpose(2, 1, 0), parent.affine_ras[:, [2, 1, 0, 3]])
    answer, dataset = send(server, ct, f"{kind}/segmentation", image.to_bytes(), Segments="totalsegmentator")
    assert answer["Warnings"] == []
    masks = masks_of(dataset, parent)
    names = [str(item.SegmentLabel) for item in dataset.SegmentSequence if int(item.SegmentNumber)]
    assert len(masks) == 104 and names[4] == "liver" and len(set(names)) == 104
    for number, name in enumerate(names, 1):
        assert np.array_equal(masks[name], label_map == number), name


def test_a_description_of_104_labels_that_no_header_holds_in_one_call(server: OrthancServer, ct: str) -> None:
    parent = ParentSeries.from_datasets(server.download(ct))
    label_map = (np.arange(4 * 32 * 24) // 7 % 105).reshape(4, 32, 24).astype(np.uint8)
    described = [
        {"Number": n, "Label": f"structure {n}", "Type": "10200004", "Description": "x" * 200} for n in range(1, 105)
    ]
    assert len(json.dumps(described)) > 23 << 10
    body = {"Blueprint": "label_map_segmentation", "Factory": "numpy", "Segments": described}
    answer = derive(server, ct, **body, Image=base64.b64encode(npy(label_map)).decode())
    (dataset,) = server.download(answer["ID"])
    masks = masks_of(dataset, parent)
    assert len(masks) == 104 and np.array_equal(masks["structure 103"], label_map == 103)
