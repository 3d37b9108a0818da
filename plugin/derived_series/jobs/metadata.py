"""The numbers of the metadata and attachments that are kept with a series in Orthanc.

User-defined metadata and attachments have numbers from 1024 on (Orthanc Book, "Metadata and attachments").
``UserMetadata`` and ``UserContentType`` in Orthanc's configuration may give them names.
"""

from __future__ import annotations

#: Metadata of a derived series: where it comes from, as JSON.
PROVENANCE = 4300

#: Attachment of a derived series: its explained header, as JSON.
EXPLANATION = 4300

#: Metadata of a derived series: the verdict on it, as JSON; a copy for other programs.
REVIEW = 4301

#: Metadata of a series that a job has brought here as one of its inputs: from where, and for which job, as JSON.
RETRIEVED = 4302
