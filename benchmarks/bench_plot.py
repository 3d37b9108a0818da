"""The growth of a derivation with the number of slices, as a picture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import matplotlib

from bench_through import COPY, IMAGE, PIPELINE, Measured

matplotlib.use("svg")
matplotlib.rcParams["svg.hashsalt"] = "derived-series"  # the same figures make the same file

from matplotlib import pyplot  # noqa: E402  # the backend had to be chosen first


def draw(measured: Sequence[Measured], path: Path) -> None:
    """Seconds, and seconds to those of the copy, over slices."""
    figure, (seconds, ratios) = pyplot.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
    slices = [each.slices for each in measured]
    for way, mark, colour in ((COPY, "o", "C0"), (PIPELINE, "s", "C1"), (IMAGE, "^", "C2")):
        seconds.plot(slices, [each.median(way) for each in measured], marker=mark, color=colour, label=way)
        if way != COPY:
            ratios.plot(slices, [each.ratio(way) for each in measured], marker=mark, color=colour, label=way)
    ratios.axhline(1, color="C0", linewidth=1, label=COPY)
    ratios.axhline(1.3, color="grey", linewidth=1, linestyle="--", label="target at 300 slices")
    for axes, title in ((seconds, "seconds"), (ratios, "time to the copy's")):
        axes.set(xscale="log", xlabel="slices of 512 x 512", title=title)
        axes.set_xticks(slices, [f"{count:,}" for count in slices])
        axes.minorticks_off()
        axes.grid(alpha=0.3)
        axes.legend(frameon=False)
    seconds.set_yscale("log")
    ratios.set_ylim(bottom=0)
    path.parent.mkdir(exist_ok=True)
    figure.savefig(path, metadata={"Date": None})
    pyplot.close(figure)
