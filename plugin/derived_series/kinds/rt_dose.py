"""RT Dose: doses in Gy."""

from __future__ import annotations

from derived_series.kinds.kind import Kind, SopClass

RT_DOSE = SopClass(uid="1.2.840.10008.5.1.4.1.1.481.2", name="RT Dose Storage", modality="RTDOSE", single_instance=True)

KINDS = (
    Kind(
        "rt_dose",
        "rt_dose",
        (RT_DOSE,),
        "RT Dose in 32 bit integers, from doses in Gy on evenly spaced slices; `DoseUnits`, `DoseType`, "
        "`DoseSummationType`, `ReferencedRTPlanSequence` and `BitsAllocated` (16) can be set",
        builder="rt_dose",
        made_from="Floats",
    ),
)
