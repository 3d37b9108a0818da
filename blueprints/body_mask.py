"""The body in a CT series: its mask, the images without what is around it, and its volume. One job makes all three."""

import numpy as np
from pydantic import Field

from derived_series import Segment, SegmentationFactory, derivation, segments
from derived_series.pipelines import Input, Output, Parameters, Pipeline, Value

AIR = -1024  # HU


class CT(Input):
    required_values = {"Modality": "CT"}


class BodyMaskParameters(Parameters):
    LowestHU: float = Field(default=-300, ge=-1000, le=3000, description="The body is what has at least this value")


class BodyMask(Pipeline):
    """The body in a CT series: a segmentation, the images without what is around it, and its volume."""

    input = {"ct": CT}
    parameters = BodyMaskParameters
    outputs = {"mask": Output(factory=SegmentationFactory()), "masked": Output()}

    def blueprint_for(self, parent, parameters, blueprints, output):
        text = f"Body, from {parameters.LowestHU:g} HU on"
        if output == "mask":
            return (
                blueprints["segmentation"]
                + segments(Segment(1, "Body", "EntireBody", color="#e0b090"))
                + derivation(text, "SegmentationImageDerivation")
            )
        return blueprints["ct"] + derivation(text, "PixelByPixelMask")

    def process(self, input_container):
        from scipy.ndimage import binary_fill_holes, label

        ct = input_container["ct"]
        voxels = ct.voxels()
        above, count = label(voxels >= input_container.parameters.LowestHU)
        if not count:
            raise ValueError("no voxel has the lowest value that the body may have: lower LowestHU")
        input_container.progress(0.5, "filling the largest part")
        largest = above == 1 + np.argmax(np.bincount(above.ravel())[1:])
        mask = np.stack([binary_fill_holes(plane) for plane in largest])
        voxel_ml = abs(np.linalg.det(ct.affine_lps[:3, :3])) / 1000
        return {
            "mask": mask,
            "masked": np.where(mask, voxels, AIR),
            "values": {
                "body": Value(round(mask.sum() * voxel_ml, 1), "ml"),
                "mean": Value(round(float(voxels[mask].mean()), 1), "[hnsf'U]"),
            },
        }
