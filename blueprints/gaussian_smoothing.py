"""Gaussian smoothing of a CT or MR series, sigma in mm."""

from pydantic import Field

from derived_series import derivation
from derived_series.pipelines import Input, Parameters, Pipeline


class CTOrMR(Input):
    required_values = {"Modality": ("CT", "MR")}


class SmoothingParameters(Parameters):
    SigmaMm: float = Field(default=1.0, gt=0, le=50, description="Standard deviation of the Gaussian, in mm")


class GaussianSmoothing(Pipeline):
    """Gaussian smoothing of a CT or MR series; sigma is in mm along every axis."""

    input = {"image": CTOrMR}
    parameters = SmoothingParameters

    def blueprint_for(self, parent, parameters, blueprints):
        text = f"Gaussian smoothing, sigma {parameters.SigmaMm:g} mm"
        return blueprints[parent.modality.lower()] + derivation(text, "GaussianBlur")

    def process(self, input_container):
        from scipy.ndimage import gaussian_filter  # here, so that workers that do not smooth start without it

        series = input_container["image"]
        grid = series.require_grid()
        grid.require_regular("smoothing across slices")
        spacing = (grid.slice_spacing or 1.0, *grid.pixel_spacing)
        sigma = [input_container.parameters.SigmaMm / mm for mm in spacing]
        return gaussian_filter(series.voxels(), sigma, mode="nearest", axes=(-3, -2, -1))  # volumes are separate
