"""Pipelines: inputs, the user's process(), the library of blueprint folders."""

from derived_series.dicom.blueprints.algorithm import Algorithm
from derived_series.pipelines.command import CommandPipeline
from derived_series.pipelines.container_pipeline import ContainerPipeline
from derived_series.pipelines.grinders import (
    NiftiGrinder,
    NumpyGrinder,
    SegmentationGrinder,
    SeriesGrinder,
    SitkGrinder,
)
from derived_series.pipelines.input import Input, StructuresInput
from derived_series.pipelines.input_container import InputContainer
from derived_series.pipelines.library import Library
from derived_series.pipelines.mercure_module import MercureModule
from derived_series.pipelines.monai_package import MonaiPackage
from derived_series.pipelines.output import Output, Value
from derived_series.pipelines.pipeline import AbstractInput, AbstractPipeline, Parameters, Pipeline

__all__ = [
    "AbstractInput",
    "AbstractPipeline",
    "Algorithm",
    "CommandPipeline",
    "ContainerPipeline",
    "Input",
    "InputContainer",
    "Library",
    "MercureModule",
    "MonaiPackage",
    "NiftiGrinder",
    "NumpyGrinder",
    "Output",
    "Parameters",
    "Pipeline",
    "SegmentationGrinder",
    "SeriesGrinder",
    "SitkGrinder",
    "StructuresInput",
    "Value",
]
