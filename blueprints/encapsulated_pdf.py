"""A PDF document of the patient's study, such as a report."""

from derived_series import encapsulated_document_blueprint, object_blueprint

blueprint = object_blueprint + encapsulated_document_blueprint
