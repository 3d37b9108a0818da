"""Pipeline: user code that makes an image from parent series."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict

from derived_series.dicom.blueprints.algorithm import Algorithm
from derived_series.dicom.blueprints.blueprint import Blueprint
from derived_series.dicom.blueprints.filling import FillingStrategy
from derived_series.dicom.factories.base import DicomFactory, NumpyFactory
from derived_series.dicom.source.parent_series import ParentSeries
from derived_series.errors import BlueprintError
from derived_series.pipelines.input import Input
from derived_series.pipelines.input_container import InputContainer
from derived_series.pipelines.output import RESULT, Output


def snake_case(name: str) -> str:
    """The name in snake case: ``GaussianSmoothing`` becomes ``gaussian_smoothing``."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()


class Parameters(BaseModel):
    """Base of a pipeline's parameters: a pydantic model that refuses unknown names."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Pipeline:
    """Subclass it in a file of a blueprint folder; its name there is ``name``, or the class's in snake case.

    :cvar input: input name -> Input class, or ``Input(...)`` with what it requires.
    :cvar dicom_factory: builds the series from what ``process`` returns.
    :cvar header_blueprint: the blueprint of the derived series.
    :cvar outputs: output name -> Output, for a pipeline that makes several series; without them there is one, of
        ``header_blueprint`` and ``dicom_factory``.
    :cvar algorithm: what ``process`` runs, as the series name it; ``IfExists: Reuse`` compares its version and files.
    :cvar filling_strategy: for the parent's tags that the blueprint does not name.
    :cvar parent_input: the input whose series is the parent; the first one when it is not given, with a warning
        where there are several.
    :cvar parameters: a subclass of Parameters.
    :cvar environment: the name of the environment in the configuration whose Python runs it; None is Orthanc's own.
    """

    name: ClassVar[str] = ""
    input: ClassVar[Mapping[str, type[Input] | Any]] = {"parent": Input}
    dicom_factory: ClassVar[DicomFactory] = NumpyFactory()
    header_blueprint: ClassVar[Blueprint | None] = None
    outputs: ClassVar[Mapping[str, Output]] = {}
    algorithm: ClassVar[Algorithm | None] = None
    filling_strategy: ClassVar[FillingStrategy] = FillingStrategy.DISCARD
    parent_input: ClassVar[str | None] = None
    parameters: ClassVar[type[BaseModel]] = Parameters
    environment: ClassVar[str | None] = None

    def __init_subclass__(cls, **keywords: Any) -> None:
        super().__init_subclass__(**keywords)
        if isinstance(cls.__dict__.get("input"), Mapping):
            cls.input = {name: Input.class_of(declared, name) for name, declared in cls.input.items()}

    def as_class(self, name: str, module: str, description: str | None) -> type[Pipeline]:
        """The class for an object at the top of a file, with the attributes that were set on the object.

        :param name: the object's, which is the pipeline's unless it has a ``name``.
        :param module: the file's; :param description: what people read.
        """
        subclass: type[Pipeline] = type(
            name, (type(self),), {"name": name, "__doc__": description, **vars(self), "__module__": module}
        )
        return subclass

    def prepare(self) -> None:
        """Load what many jobs need, such as a model: ``self.model = ...``.

        It is called once in each worker process, before its first job; every job gets a copy of the prepared object.
        """

    def blueprint_for(
        self, parent: ParentSeries, parameters: Any, blueprints: Mapping[str, Blueprint]
    ) -> Blueprint | None:
        """The blueprint for this parent; override it if it depends on the parent or the parameters.

        An override may have a parameter ``inputs``, to get all series by their names in ``input``, and a parameter
        ``output``, to get the name of the output if there are several.

        :param blueprints: the named blueprints of the library, such as ``blueprints["ct"]``.
        """
        return self.header_blueprint

    def process(self, input_container: InputContainer) -> Any:
        """The result: an image for the factory, or a DerivedSeries, or finished datasets.

        With ``outputs``, a dict of these by output name. The key ``values`` of a dict holds numbers to keep with them.
        """
        raise NotImplementedError(f"{type(self).__name__} has no process()")

    @classmethod
    def pipeline_name(cls) -> str:
        """``name``, or the class name in snake case without a closing "pipeline"."""
        snake = snake_case(cls.__name__)
        return cls.name or snake.removesuffix("_pipeline") or snake

    @classmethod
    def parent_name(cls) -> str:
        """The name of the input that is the parent: ``parent_input``, or the first.

        :raises BlueprintError: ``parent_input`` names no input, or there are no inputs.
        """
        names = list(cls.input)
        if cls.parent_input in names:
            return str(cls.parent_input)
        if cls.parent_input is not None or not names:
            raise BlueprintError(
                f"{cls.__name__}.parent_input is {cls.parent_input!r}, its inputs are {', '.join(names) or 'none'}",
                remedy="set parent_input to the name of the input that is the parent series",
            )
        return names[0]

    @classmethod
    def all_outputs(cls) -> Mapping[str, Output]:
        """``outputs``, or the single output of ``header_blueprint`` and ``dicom_factory``."""
        return cls.outputs or {RESULT: Output(None, cls.dicom_factory)}


#: The tutorial's names.
AbstractPipeline = Pipeline
AbstractInput = Input
