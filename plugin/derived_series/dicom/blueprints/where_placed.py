"""An element about the place of a picture, for pictures that may have none."""

from __future__ import annotations

from derived_series.dicom.blueprints.element import ABSENT, DEFER, Value, VirtualElement
from derived_series.dicom.blueprints.environment import ImageEnvironment, InstanceEnvironment, SeriesEnvironment


class WherePlacedElement(VirtualElement):
    """Wraps an element and leaves its tag out when the image has no place in space."""

    of: VirtualElement

    def __init__(self, of: VirtualElement):
        super().__init__(of.tag, of.VR)
        self._set(of=of)

    def describe(self) -> str:
        return f"{self.of.describe()}, where the image has a place"

    def at_header(self, env: SeriesEnvironment) -> Value:
        return DEFER

    def at_image(self, env: ImageEnvironment) -> Value:
        if env.grid is None:
            return ABSENT
        value = self.of.at_header(env.series)
        return self.of.at_image(env) if value is DEFER else value

    def at_instance(self, env: InstanceEnvironment) -> Value:
        return self.of.at_instance(env)
