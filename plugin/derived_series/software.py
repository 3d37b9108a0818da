"""What this software calls itself where it leaves its mark."""

from __future__ import annotations

#: Manufacturer (0008,0070) of its item in ContributingEquipmentSequence (0018,A001), by which its series are known.
SOFTWARE = "Derived Series for Orthanc"
