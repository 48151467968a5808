"""Figures of many workers: growth with text, laws beside jobs, curves of one training, bills."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from bioptimus_lib.plots import BLUE, INK, PAGE, SERIES, SOFT, new_figure, style

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from bioptimus_lib.scaling import Check, Job, Law


def growth(
    jobs: Sequence[Job],
    law: Law,
    memory: Mapping[float, float],
    *,
    title: str = "More text: more time, not more memory",
) -> Figure:
    """Seconds of scans over megabytes of text, with the law; and the peak of memory.

    Args:
        jobs: timed scans; work is bytes.
        law: fitted to them or to some of them.
        memory: megabytes of text → megabytes of memory.

    Raises:
        ValueError: no job or no memory.
    """
    if not jobs or not memory:
        raise ValueError("nothing to draw: give jobs and memory")
    with style():
        figure, (left, right) = new_figure(height=3.6, columns=2)
        most = max(job.work for job in jobs)
        counts = sorted({job.workers for job in jobs})
        for count, look in zip(counts, SERIES, strict=False):
            some = [job for job in jobs if job.workers == count]
            dots = {k: look[k] for k in ("color", "marker")}
            left.plot([j.work / 1e6 for j in some], [j.seconds for j in some], ls="", **dots,
                      label=f"{count} worker" + "s" * (count > 1), clip_on=False)
            line = {k: look[k] for k in ("color", "linestyle")}
            left.plot([0, most / 1e6], [law.seconds(w, count) for w in (0, most)], lw=1.4, **line)
        left.set(xlabel="text, MB (lines: fitted)", ylabel="seconds")
        left.set(xlim=(0, None), ylim=(0, None))
        left.legend(loc="upper left")
        right.plot(list(memory), list(memory.values()), color=BLUE, marker="o", clip_on=False)
        right.set(xlabel="text, MB", ylabel="memory, MB", xlim=(0, None),
                  ylim=(0, 1.35 * max(memory.values())))
        figure.suptitle(title, x=0.01, ha="left", weight="bold", fontsize=11.5)
    return figure


def predicted(
    checks: Mapping[str, Sequence[Check]], *, title: str = "Predicted and measured"
) -> Figure:
    """Each job at its measured and its predicted seconds: on the line, the law is right.

    Args:
        checks: kind of work → its jobs; at most three kinds.

    Raises:
        ValueError: nothing to draw, or too many kinds.
    """
    from matplotlib.ticker import LogLocator

    if not any(checks.values()) or len(checks) > 3:
        raise ValueError(f"{len(checks)} kinds of work: give one to three with jobs")
    with style():
        figure, all_axes = new_figure(height=3.9, columns=len(checks), squeeze=False)
        for axes, (name, some) in zip(all_axes.flat, checks.items(), strict=True):
            values = [v for c in some for v in (c.job.seconds, c.predicted)]
            ends = min(values) / 1.3, max(values) * 1.3
            axes.plot(ends, ends, color=SOFT, lw=1.2, linestyle=(0, (3, 3)))
            counts = sorted({c.job.workers for c in some})
            for count, look in zip(counts, SERIES, strict=False):
                for fitted in (True, False):
                    dots = [c for c in some if c.job.workers == count and c.fitted == fitted]
                    axes.plot(
                        [c.job.seconds for c in dots], [c.predicted for c in dots], ls="",
                        marker=look["marker"], mec=look["color"], mew=1.6, ms=7,
                        mfc=PAGE if fitted else look["color"],
                        label=None if fitted else f"{count} worker" + "s" * (count > 1),
                    )
            axes.set(xscale="log", yscale="log", xlabel="measured, s", title=name)
            axes.set_xlim(ends)
            axes.set_ylim(ends)
            wide = ends[1] > 20 * ends[0]
            for axis in (axes.xaxis, axes.yaxis):
                axis.set_major_locator(LogLocator(subs=(1.0,) if wide else (1.0, 2.0, 5.0)))
                axis.set_major_formatter("{x:g}")
            axes.minorticks_off()
        all_axes.flat[0].set_ylabel("predicted, s")
        shown = {
            label: handle for axes in all_axes.flat
            for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)
        }  # fmt: skip
        figure.legend(shown.values(), shown, loc="outside lower center", ncols=3,
                      title="open: the law was fitted to it")
        figure.suptitle(title, x=0.01, ha="left", weight="bold", fontsize=11.5)
    return figure


def trainings(
    curves: Mapping[str, Mapping[int, float]],
    *,
    reference: str,
    marks: Mapping[int, str] | None = None,
    title: str = "One training",
) -> Figure:
    """Losses over steps, and below how far each curve is from the reference; less than 10^-6 is
    drawn as 10^-6, for the log keeps five digits.

    Args:
        curves: name → {step → loss}.
        reference: the one that the others are compared with.
        marks: step → what happened after it.

    Raises:
        ValueError: the reference is not among the curves, or there is no other.
    """
    if reference not in curves or len(curves) < 2:
        raise ValueError(f"{list(curves)}: give {reference!r} and another to compare it with")
    floor = 1e-6
    with style():
        figure, (top, low) = new_figure(
            height=4.6, rows=2, sharex=True, gridspec_kw={"height_ratios": (3, 2)}
        )
        for (name, losses), look in zip(curves.items(), SERIES, strict=False):
            every = max(1, len(losses) // 8)
            top.plot(list(losses), list(losses.values()), **look, markevery=every, label=name)
            if name != reference:
                shared = [step for step in losses if step in curves[reference]]
                gaps = [max(abs(losses[s] - curves[reference][s]), floor) for s in shared]
                low.plot(shared, gaps, **look, markevery=every)
        for step, what in (marks or {}).items():
            for axes in (top, low):
                axes.axvline(step + 0.5, color=INK, lw=1.0, linestyle=(0, (2, 2)))
            top.text(step + 0.5, 1.0, f" {what}", transform=top.get_xaxis_transform(), va="top",
                     fontsize=9.5)
        low.set(yscale="log", xlabel="step", ylabel="distance, nats")
        low.set_ylim(floor / 2, None)
        top.set_ylabel("loss, nats")
        top.set_title(title)
        figure.legend(*top.get_legend_handles_labels(), loc="outside lower center",
                      ncols=1 if max(map(len, curves)) > 26 else 2, handlelength=3.4)
    return figure


def bills(
    rows: Sequence[tuple[str, str, float, float, float]],
    *,
    title: str = "How long it would take",
) -> Figure:
    """Hours of each work on each device, on a logarithmic axis, with their range.

    Args:
        rows: (work, device, hours, least, most).

    Raises:
        ValueError: no rows.
    """
    if not rows:
        raise ValueError("no bills to draw")
    works = list(dict.fromkeys(row[0] for row in rows))
    with style():
        figure, all_axes = new_figure(
            height=1.3 + 0.55 * len(rows), rows=len(works), sharex=True, squeeze=False
        )
        for axes, work, look in zip(all_axes.flat, works, SERIES, strict=False):
            own = [row for row in rows if row[0] == work]
            for place, (_, _, hours, least, most) in enumerate(own):
                axes.plot([least, most], [place, place], color=look["color"], lw=5, alpha=0.35,
                          solid_capstyle="butt")
                axes.plot([hours], [place], ls="", color=look["color"], marker=look["marker"],
                          ms=8)
            axes.set_yticks(range(len(own)), [row[1] for row in own])
            axes.set_ylim(len(own) - 0.5, -0.5)
            axes.set(xscale="log", title=work)
            axes.grid(axis="x")
            axes.grid(visible=False, axis="y")
            axes.tick_params(axis="y", length=0)
        low, high = min(row[3] for row in rows), max(row[4] for row in rows)
        ticks = {1 / 60: "1 min", 1: "1 h", 24: "1 day", 720: "1 month", 8766: "1 year",
                 87_660: "10 years"}  # fmt: skip
        shown = {t: name for t, name in ticks.items() if low / 3 < t < high * 3}
        axes.set_xticks(list(shown), list(shown.values()))
        axes.set_xlabel("mark: as expected, bar: from the least to the most")
        axes.minorticks_off()
        figure.suptitle(title, x=0.01, ha="left", weight="bold", fontsize=11.5)
    return figure
