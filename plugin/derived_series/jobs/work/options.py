"""Converting a request to the options of pipelines and blueprints."""

from __future__ import annotations

from derived_series.dicom.blueprints.filling import FillingStrategy
from derived_series.dicom.image.resampling import Resampling
from derived_series.jobs.requests.derive import DeriveRequest
from derived_series.pipelines.gate import Validation
from derived_series.pipelines.requested_elements import extra_blueprint
from derived_series.pipelines.run_options import Options


def options_of(request: DeriveRequest, validation: Validation) -> Options:
    """The options of a request.

    :param validation: what happens to a series that breaks a rule, if the request does not say.
    :raises InvalidRequest: tags, codes or segments are unknown.
    """
    return Options(
        strategy=FillingStrategy(request.filling_strategy) if request.filling_strategy else None,
        extra=extra_blueprint(
            request.replace, request.series_description, request.derivation, of_kinds=request.of_kinds()
        ),
        nan=request.nan,
        resampling=Resampling(request.interpolation, request.outside) if request.grid == "Parent" else None,
        transfer_syntax=request.transfer_syntax,
        validation=_validation(request, validation),
        frame_of_reference=request.frame_of_reference,
    )


def _validation(request: DeriveRequest, default: Validation) -> Validation:
    """The validation of a request; a dry run turns refusals into warnings."""
    asked = request.validation or default
    return "Warn" if request.dry_run and asked == "Strict" else asked
