"""A segmentation or an RT structure set drawn over its images: a picture of each slice, and a page of volumes."""

from pydantic import Field

from derived_series import picture
from derived_series.pipelines import Input, Output, Parameters, Pipeline, StructuresInput


class DrawStructuresParameters(Parameters):
    Fill: float = Field(default=0.0, ge=0, le=1, description="How much of its colour is in a structure; 0 is outlines")
    Note: bool = Field(default=True, description="Write that it is derived and not for diagnosis")


class DrawStructures(Pipeline):
    """Pictures of a segmentation or a structure set over its images, for viewers that show neither."""

    input = {"images": Input, "structures": StructuresInput}
    parent_input = "images"
    parameters = DrawStructuresParameters
    outputs = {"overlay": Output(), "summary": Output()}

    def blueprint_for(self, parent, parameters, blueprints, output):
        fill = parameters.Fill if output == "overlay" else None
        return blueprints[output] + picture(fill=fill, note=parameters.Note)

    def process(self, input_container):
        structures = input_container["structures"]
        return {"overlay": structures, "summary": structures}
