"""UCUM, the Unified Code for Units of Measure: checking units, and suggesting the one that was probably meant."""

from __future__ import annotations

import re
from functools import lru_cache

from pydicom.sr.codedict import codes

_PREFIXES = ("", *"YZEPTGMkhdcmunpfazy", "da", "Ki", "Mi", "Gi", "Ti")
#: Units that take a prefix.
_METRIC = frozenset(
    """m s g rad K C cd mol sr Hz N Pa J W A V F Ohm S Wb Cel T H lm lx Bq Gy Sv l L ar t bar u eV pc [c] [h] [k]
    [eps_0] [mu_0] [e] [m_e] [m_p] [G] [g] gf [ly] Gal dyn erg P Bi St Mx G Oe Gb sb Lmb ph Ci R RAD REM cal cal_[15]
    cal_[20] cal_m cal_IT cal_th tex B B[SPL] B[V] B[mV] B[uV] B[10.nV] B[W] B[kW] Np eq osm kat U [iU] [IU] bit By Bd
    st mho m[H2O] m[Hg] Ky""".split()
)
_OTHERS = frozenset(
    """10* 10^ [pi] % [ppth] [ppm] [ppb] [pptr] deg gon ' '' min h d a_t a_j a_g a wk mo_s mo_j mo_g mo AU atm att
    [in_i] [ft_i] [yd_i] [mi_i] [fth_i] [nmi_i] [kn_i] [sin_i] [sft_i] [syd_i] [cin_i] [cft_i] [cyd_i] [bf_i] [cr_i]
    [mil_i] [cml_i] [hd_i] [ft_us] [yd_us] [in_us] [rd_us] [ch_us] [lk_us] [rch_us] [rlk_us] [fth_us] [fur_us] [mi_us]
    [acr_us] [srd_us] [smi_us] [sct] [twp] [mil_us] [in_br] [ft_br] [rd_br] [ch_br] [lk_br] [fth_br] [pc_br] [yd_br]
    [mi_br] [nmi_br] [kn_br] [acr_br] [gal_us] [bbl_us] [qt_us] [pt_us] [gil_us] [foz_us] [fdr_us] [min_us] [crd_us]
    [bu_us] [gal_wi] [pk_us] [dqt_us] [dpt_us] [tbs_us] [tsp_us] [cup_us] [foz_m] [cup_m] [tsp_m] [tbs_m] [gal_br]
    [pk_br] [bu_br] [qt_br] [pt_br] [gil_br] [foz_br] [fdr_br] [min_br] [gr] [lb_av] [oz_av] [dr_av] [scwt_av]
    [lcwt_av] [ston_av] [lton_av] [stone_av] [pwt_tr] [oz_tr] [lb_tr] [sc_ap] [dr_ap] [oz_ap] [lb_ap] [oz_m] [lne]
    [pnt] [pca] [pnt_pr] [pca_pr] [pied] [pouce] [ligne] [didot] [cicero] [degF] [degR] [degRe] [Cal] [Btu] [Btu_39]
    [Btu_59] [Btu_60] [Btu_m] [Btu_IT] [Btu_th] [HP] [den] [psi] [lbf_av] [smoot] [diop] [p'diop] %[slope] [mesh_i]
    [Ch] [drp] [hnsf'U] [MET] [hp'_X] [hp'_C] [hp'_M] [hp'_Q] [hp_X] [hp_C] [hp_M] [hp_Q] [kp_X] [kp_C] [kp_M] [kp_Q]
    [arb'U] [USP'U] [GPL'U] [MPL'U] [APL'U] [beth'U] [anti'Xa'U] [todd'U] [dye'U] [smgy'U] [bdsk'U] [ka'U] [knk'U]
    [mclg'U] [tb'U] [CCID_50] [TCID_50] [EID_50] [PFU] [FFU] [CFU] [IR] [BAU] [AU] [Amb'a'1'U] [PNU] [Lf] [D'ag'U]
    [FEU] [ELU] [EU] [S] [HPF] [LPF] [PRU] [wood'U] [car_Au] [car_m] [m/s2/Hz^0.5] bit_s sph circ b Ao dpt""".split()
)
_ATOMS = frozenset(prefix + unit for prefix in _PREFIXES for unit in _METRIC) | _OTHERS

#: A unit with its exponent and annotation, a number, or an annotation alone.
_COMPONENT = re.compile(
    r"(?P<note>\{[!-z|~]*\})?(?:(?P<atom>10[*^]|(?:[A-Za-z_%']|\[[!-Z^-~]+\])+)(?P<power>[+-]?\d+)?|(?P<number>\d+))?"
    r"(?:\{[!-z|~]*\})?"
)

#: Common spellings, and their UCUM codes.
_MEANT = {
    **dict.fromkeys(("hu", "hounsfield", "hounsfield unit", "hounsfield units"), "[hnsf'U]"),
    **dict.fromkeys(("suv", "suvbw", "g/ml(suvbw)"), "g/ml{SUVbw}"),
    **dict.fromkeys(("none", "no units", "unitless", "dimensionless", "ratio", "fraction", "probability"), "1"),
    **dict.fromkeys(("a.u.", "au", "arbitrary", "arbitrary units"), "[arb'U]"),
    **dict.fromkeys(("sec", "secs", "second", "seconds"), "s"),
    **dict.fromkeys(("msec", "millisecond", "milliseconds"), "ms"),
    **dict.fromkeys(("mmhg", "mm hg"), "mm[Hg]"),
    **dict.fromkeys(("degree", "degrees", "°"), "deg"),
    **dict.fromkeys(("degc", "°c", "celsius"), "Cel"),
    **dict.fromkeys(("ml/100g/min", "ml/min/100g", "ml/100 g/min"), "ml/[100]g/min"),
    **dict.fromkeys(("ml/100ml", "ml/100 ml"), "ml/[100]ml"),
    **{"percent": "%", "cmh2o": "cm[H2O]", "cc": "ml", "bpm": "/min", "ohm": "Ohm", "cps": "{counts}/s"},
}


@lru_cache(maxsize=1)
def _listed() -> dict[str, str]:
    """The units in PS3.16 and their meanings; some are not strictly UCUM."""
    units = (getattr(codes.UCUM, name) for name in codes.UCUM.dir())
    return {code.value: code.meaning for code in units}


def meaning(unit: str) -> str:
    """The meaning of a unit in PS3.16; the unit itself if it is not listed there."""
    return _listed().get(unit, unit)


#: Familiar names for UCUM codes that few people know.
_READ = {"1": "", "[hnsf'U]": "HU", "[arb'U]": "a.u.", "mm[Hg]": "mmHg", "Cel": "°C"}


def readable(unit: str) -> str:
    """A unit in its familiar form: ``"HU"`` for ``"[hnsf'U]"``, an empty text for ``"1"``."""
    return _READ.get(unit, unit)


def is_unit(text: str) -> bool:
    """Whether a text is a unit: listed in PS3.16, or valid by UCUM's grammar and units. Case counts."""
    return text in _listed() or (text.isascii() and _is_term(text))


def _is_term(text: str) -> bool:
    while "(" in text.split("{")[0] or re.search(r"\([^(){}]*\)", text):
        inner = re.search(r"\(([^(){}]*)\)", text)
        if inner is None or not _is_term(inner[1]):
            return False
        text = f"{text[: inner.start()]}1{text[inner.end() :]}"
    parts = re.split(r"[./](?![^{]*\})(?![^\[]*\])", text.removeprefix("/"))
    return bool(text) and all(map(_is_component, parts))


def _is_component(text: str) -> bool:
    match = _COMPONENT.fullmatch(text)
    if not text or match is None:
        return False
    return match["atom"] is None or match["atom"] in _ATOMS


def suggestion(text: str) -> str | None:
    """The unit that a text probably means; None if none is similar."""
    plain = " ".join(text.split())
    known = _MEANT.get(plain.casefold())
    if known is not None:
        return known
    for old, new in (("²", "2"), ("³", "3"), ("⁻", "-"), ("¹", "1"), ("µ", "u"), ("μ", "u"), ("^", ""), (" per ", "/")):
        plain = plain.replace(old, new)
    each = "".join(_MEANT.get(part.casefold(), part) for part in re.split("([./])", plain))
    for candidate in (
        plain,
        each,
        plain.replace("*", "."),
        plain.replace(" ", "."),
        plain.replace(" ", ""),
        plain.lower(),
    ):
        if candidate != text and is_unit(candidate):
            return candidate
    return None
