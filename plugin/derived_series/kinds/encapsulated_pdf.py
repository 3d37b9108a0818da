"""Encapsulated PDF: a document beside the images."""

from __future__ import annotations

from derived_series.kinds.file_types import FileType
from derived_series.kinds.kind import Kind, SopClass

PDF = FileType(
    "PDF file", ".pdf", (b"%PDF-",), "use the factory pdf with the blueprint encapsulated_pdf", "pdf", lines_from=256
)

ENCAPSULATED_PDF = SopClass(
    uid="1.2.840.10008.5.1.4.1.1.104.1", name="Encapsulated PDF Storage", modality="DOC", single_instance=True
)

KINDS = (
    Kind(
        "encapsulated_pdf",
        "pdf",
        (ENCAPSULATED_PDF,),
        "a PDF file in the study; the body of the request is the file",
        builder="encapsulated_pdf",
        made_from="File",
        files=(PDF,),
    ),
)
