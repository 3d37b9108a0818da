"""A patient whose data must stay secret, and a pipeline that quotes them."""

from __future__ import annotations

#: The patient's data, wherever they appear: in tags, in requests, in errors.
SECRETS = ["SECRET", "19591231", "Doe^Jane", "confidential"]

TELLTALE = '''
"""A pipeline whose errors, output and warnings quote the parent."""
import logging

from derived_series import derivation
from derived_series.pipelines import Parameters, Pipeline


class Settings(Parameters):
    Raise: bool = False
    Note: str = ""


class Telltale(Pipeline):
    """Quotes."""

    parameters = Settings

    def blueprint_for(self, parent, parameters, blueprints):
        return blueprints["ct"] + derivation("nothing", "Smoothing")

    def process(self, container):
        logging.getLogger("telltale").info("it begins")
        print("it goes on")
        if container.parameters.Raise:
            raise ValueError(f"cannot do {container['parent'].instances[0].PatientName}")
        return container["parent"].voxels()
'''
