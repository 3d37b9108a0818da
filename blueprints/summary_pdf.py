"""One page of a label map as a PDF: names, volumes in ml, and three planes."""

from derived_series import object_blueprint, summary_document_blueprint

blueprint = object_blueprint + summary_document_blueprint
