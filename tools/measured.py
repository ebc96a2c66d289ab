"""docs/measured.md and its picture, from what is in tools/recorded/: `python -m tools.measured`."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from itertools import chain
from math import exp, nan
from statistics import median
from typing import Any

import numpy as np
from scipy import stats

from benchmarks.comparing.ratios import block_log_ratios, of_logs
from benchmarks.comparing.verdicts import (
    CALLED,
    LOOK_ERROR,
    MOST_ROUNDS,
    Comparison,
    Status,
    judge,
    time_metric,
)
from benchmarks.reporting import markdown
from benchmarks.reporting.verdict_panel import change
from benchmarks.trial import RowId
from tools import charts, repeats
from tools.campaigns import (
    APART,
    CAMPAIGNS,
    PLANTED,
    RECORDED,
    by_block,
    doses,
    judged,
    planted,
    recorded,
)

DOCS = RECORDED.parents[1] / "docs"
SIMULATED = RECORDED / "simulated.json"
EARLIER = ("unequal_bursts", "fixed_blocks")
# So many detection sessions took up to three times the rounds of the screen.
LONGER = 12
PEERS = RECORDED / "peers.json"
# The campaigns in which nothing is planted and nothing disturbs, and those of the rule of now.
ALIKE, OF_NOW = ("looks", "identical"), ("looks", "doses")
LARGE = 0.05
MARGIN = 0.02
KNOWN = """\
Two of these changes fit what the frameworks' own trackers say; other packages changed, too. Keras
3.3 traced its training step anew at every `train_on_batch`, and the newest takes a 17th of its time
([tensorflow#67033](https://github.com/tensorflow/tensorflow/issues/67033)). Keras 3.15 resets its
metrics in each `train_on_batch`, so that it returns the loss of that batch alone, and its training
step got slower ([keras#22617](https://github.com/keras-team/keras/pull/22617)).""".splitlines()

ABOUT_PEERS = """\
## Other tools' rules at the same cost

The same environments and the same doses. A suite is the forward pass and the training step of the
pair. It took {plain:.0f} s where nothing was planted and {changed:.0f} s where something was; the
gate's sessions took {ours_plain:.0f} and {ours_changed:.0f} s (medians). It is measured as these
tools do by default: first all of one environment, then all of the other, in two processes of each
implementation. pytest-benchmark's rules look at single calls, asv's at samples of 10 ms, pyperf's
t-test at values of 100 ms. All are read both ways. Suites were measured at other hours than the
gate's sessions. p is the probability of at least so many false alarms if the rule raised no more
than the gate (Fisher's exact test); all rules read the same suites, so that the lines are one
experiment. pyperf asks for 20 processes by default, which takes several times as long: this is what
its rule says at the gate's cost, not what its authors advise."""


def page() -> str:
    """docs/measured.md."""
    lines = [
        "# What the gate found on a real machine",
        "",
        "<!-- Written by `python -m tools.measured` from tools/recorded/. -->",
        "",
        *in_short(),
        "",
        "Live sessions of",
        "",
        '    pytest benchmarks -k "forward or train_step" --architecture mlp --baseline OTHER',
        "",
        "on two shared virtual cores: the pair, one thread, two environments built separately from",
        "the same pins. CONTRIBUTING.md says how to add to them; how to read the verdicts is in",
        "comparing.md. What is compared was always measured side by side on one processor; older",
        "sessions did not save its name.",
        "",
        *markdown.table(
            (
                *("campaign", "processor", "sessions", "seconds each, median (most)"),
                *("planted", "verdicts on times"),
            ),
            session_rows(),
        ),
        "",
        "A session has a false alarm where a time in which nothing was planted is called REGRESSED",
        "or IMPROVED:",
        *(f"{share(*false_alarms(name))} of `{name}`," for name in (*ALIKE, *PLANTED)),
        f"{share(*false_alarms(*EARLIER))} of older rules. In brackets is the exact 95 % interval.",
        "Most sessions never get so far: only a suspect can become a false alarm. So many had a",
        "suspect in which nothing was planted, and so many of these suspects were confirmed:",
        *suspect_lines(),
        "",
        "A dose is the share of a training step's time that planted work is set to. Found means",
        "called with the right sign.",
        *chain.from_iterable(("", f"`{name}`:", "", *dose_lines(name)) for name in PLANTED),
        "",
        "- `looks`: nothing was planted. Equality was looked at several times, bursts lasted",
        "  10 ms, and the allocator was steady: the suite as it is.",
        "- `doses`: likewise, with real extra work in a training step of one of the environments.",
        "- The others are older: one look after six blocks, bursts of 25 ms, the allocator as",
        "  installed. REGRESSED and IMPROVED rest on the same rule.",
        "- `identical`: nothing was planted.",
        "- `detection`: a dose in a training step of one of the environments.",
        f"  In the first {LONGER}, confirming blocks had up to 60 rounds; cut to the 40 of now,",
        f"  the same samples find {share(*found_with_fewer_rounds())} of both kinds.",
        "- `hog`, `drift`: nothing was planted, but busy loops ran on the workers' own CPU: at",
        "  random for seconds, or for a share of the time that grows to 60 %.",
        f"- Rules of before these: {share(*earlier_detections())} of the doses were found.",
        "",
        "![Ratios with their intervals, session by session](measured.svg)",
        "",
        "Each line is the interval of one benchmark's ratio in one session, thick where it was",
        "called REGRESSED or IMPROVED, in `looks` and `doses`. In grey nothing was planted; in",
        "colour the training step had a dose, the larger the darker, in the baseline where the",
        "ratio is below 1.",
        *operation_lines(),
        *independence_lines(),
        *repeats.lines(),
        *simulation_lines(),
        *peers_lines(),
    ]
    for session in recorded("versions"):
        lines += version_lines(session)
    lines += ["", *KNOWN]
    return "\n".join(lines) + "\n"


def in_short() -> list[str]:
    """What the campaigns of the rule of now say, in two sentences."""
    called, sessions = false_alarms(*OF_NOW)
    large = [dose for dose in doses("doses") if dose >= LARGE]
    found = [detections("doses", dose) for dose in large]
    lines = [f"In short: in {called} of {sessions} sessions of the rule of now, the gate called a"]
    lines.append("time changed in which nothing was planted.")
    if of := sum(count for _, count in found):
        lines.append(
            f"It found {sum(right for right, _ in found)} of {of} doses of {percent(LARGE)}"
        )
        lines.append("or more in a training step.")
    return lines


def session_rows() -> Iterable[list[str]]:
    """What each campaign found on each processor, by what was planted."""
    for campaign in CAMPAIGNS:
        on: dict[str, list[dict[str, Any]]] = {}
        for session in recorded(campaign):
            on.setdefault(session.get("machine", ""), []).append(session)
        for machine, sessions in on.items():
            cost = sorted(session["seconds"] for session in sessions)
            known = campaign, machine, str(len(cost))
            took = f"{median(cost):.0f} ({cost[-1]:.0f})"
            for share, words in sorted(counted(sessions).items()):
                of = words.total() - words["found"]
                found = f"found {words['found']} of {of}; " if share else ""
                said = ", ".join(f"{words[word]} {word}" for word in Status if words[word])
                dose = f"dose {percent(share)}" if share else "nothing"
                yield [*known, took, dose, found + said]


def dose_lines(campaign: str) -> list[str]:
    """What each dose added to the time of a step and what the gate said, as Markdown."""
    more: dict[float, list[float]] = {}
    seconds: dict[float, list[float]] = {}
    for session in recorded(campaign):
        for name, row in session["rows"].items():
            if aimed := planted(session, name):
                more.setdefault(abs(aimed), []).append(added(row, aimed))
                seconds.setdefault(abs(aimed), []).append(session["seconds"])
    words = counted(recorded(campaign))
    rows = [
        [
            percent(dose),
            *told(more[dose]),
            share(*found_of(words[dose])),
            str(words[dose][Status.EQUIVALENT]),
            f"{median(seconds[dose]):.0f}",
        ]
        for dose in sorted(more)
    ]
    headings = ("dose", "times", "added, median", "least to most", "found", "called EQUIVALENT")
    return markdown.table((*headings, "seconds a session, median"), rows)


def added(row: dict[str, Any], aimed: float) -> float:
    """By which share a recorded row took longer on the side that something was planted in."""
    logs = block_log_ratios(by_block(row["new"]), by_block(row["old"]))
    return exp(median(logs) * (1 if aimed > 0 else -1)) - 1


def told(shares: list[float]) -> tuple[str, str, str]:
    """How many shares there are, their median, and the least and the most of them."""
    return str(len(shares)), f"{median(shares):.1%}", f"{min(shares):.1%} to {max(shares):.1%}"


def percent(share: float) -> str:
    """A share in words."""
    return f"{share * 100:.0f} %"


def counted(sessions: Iterable[dict[str, Any]]) -> dict[float, Counter[str]]:
    """How often each word fell on times, by what was planted."""
    found: dict[float, Counter[str]] = {}
    for session in sessions:
        for name, verdict in judged(session).items():
            share = planted(session, name)
            found.setdefault(abs(share), Counter())[verdict["verdict"]] += 1
            right = {1: "REGRESSED", -1: "IMPROVED"}.get((share > 0) - (share < 0))
            found[abs(share)]["found"] += verdict["verdict"] == right
    return found


def suspect_lines() -> list[str]:
    """Of each kind of campaign, how many sessions had a suspect of nothing, and what came of it."""
    lines = []
    for campaign in (*ALIKE, *PLANTED):
        found = [
            (number, verdict["verdict"] in CALLED)
            for number, session in enumerate(recorded(campaign))
            for name, verdict in judged(session).items()
            if session["rows"][name]["suspects"]
            and not planted(session, name)
            and suspected(session["rows"][name])
        ]
        sessions, called = len({number for number, _ in found}), sum(one for _, one in found)
        lines.append(f"`{campaign}` {sessions} sessions, {share(called, len(found))};")
    return [*lines[:-1], lines[-1].removesuffix(";") + "."]


def suspected(row: dict[str, Any]) -> bool:
    """Whether the screen of a recorded row suspects a change of its time."""
    sides = by_block(row["new"]), by_block(row["old"])
    place = "step[]", "", "", time_metric(MARGIN)
    return bool(Comparison(*place, *sides, row["screened_blocks"], row["suspects"]).suspicion)


def earlier_detections() -> tuple[int, int]:
    """How many of the doses that older rules met were found, and of how many."""
    by_dose = counted(chain.from_iterable(map(recorded, EARLIER)))
    each = [found_of(words) for dose, words in by_dose.items() if dose]
    return sum(found for found, _ in each), sum(of for _, of in each)


def operation_lines() -> list[str]:
    """What was said of other operations of identical code, as Markdown."""
    rows = []
    for campaign in APART:
        said: dict[tuple[str, str], list[dict[str, Any]]] = {}
        named: Counter[tuple[str, str]] = Counter()
        for session in (sessions := list(recorded(campaign))):
            for name, row in session["rows"].items():
                implementation = RowId.parse(name).implementation
                for verdict in row["verdicts"]:
                    said.setdefault((implementation, verdict["metric"]), []).append(verdict)
                named[implementation, "time"] += favourite(row)
        cost = f"{usual_cost(sessions):.0f} s"
        for key, verdicts in sorted(said.items()):
            words = Counter(verdict["verdict"] for verdict in verdicts)
            cells = ", ".join(f"{words[word]} {word}" for word in Status if words[word])
            sees = [verdict["detectable"] for verdict in verdicts if verdict["detectable"]]
            least = change(median(sees)) if sees and key[1] == "time" else ""
            chosen = str(named[key]) if key[1] == "time" else ""
            rows.append([campaign, *key, cost, cells, chosen, least])
    if not rows:
        return []
    headings = ("operation", "implementation", "of", "a session", "verdicts", "named faster")
    return [
        "",
        "## Other operations",
        "",
        "Sessions of `mlp` on identical code. *Named faster* counts the screens in which the",
        "panel's rule names one of the two equal sides. *Sees* is the smallest change that a",
        "confirmation finds in nine of ten sessions, in the median session.",
        "",
        *markdown.table((*headings, "sees"), rows),
    ]


def favourite(row: dict[str, Any]) -> bool:
    """Whether the panel's rule names one of the two equal sides of a recorded row."""
    logs = block_log_ratios(by_block(row["new"]), by_block(row["old"]))
    return of_logs(logs[: row["screened_blocks"]]).winner is not None


def independence_lines() -> list[str]:
    """Whether the screens' blocks of identical code depend on each other, as Markdown."""
    rows = []
    for campaign in ALIKE:
        by_row: dict[str, list[np.ndarray]] = {}
        for session in recorded(campaign):
            for name, row in session["rows"].items():
                sides = by_block(row["new"]), by_block(row["old"])
                logs = block_log_ratios(*sides)[: row["screened_blocks"]]
                by_row.setdefault(name, []).append(np.array(logs))
        for name, found in by_row.items():
            blocks = np.array(found)
            rest = blocks - blocks.mean(axis=1, keepdims=True)
            alike = (rest[:, 1:] * rest[:, :-1]).mean() / (rest**2).mean()
            within = blocks.var(axis=1, ddof=1).mean()
            between = blocks.mean(axis=1).var(ddof=1) - within / blocks.shape[1]
            title = RowId.parse(name)
            cells = f"{title.trial.operation}, {title.implementation}", str(len(blocks))
            rows.append([campaign, *cells, f"{alike:+.2f}", f"{between / within:+.2f}"])
    headings = ("campaign", "row", "sessions", "neighbours", "sessions beside blocks")
    return [
        "",
        "## Are blocks independent?",
        "",
        "The rule needs that. *Neighbours* is the correlation of a block's log-ratio with the next",
        "one's, each less its session's mean; independent blocks, six a session, give −0.20.",
        "*Sessions beside blocks* is the variance that sessions add, over that of blocks;",
        "independent blocks give 0.",
        "",
        *markdown.table(headings, rows),
    ]


def simulation_lines() -> list[str]:
    """What `python -m tools.simulation` found, as Markdown."""
    if not SIMULATED.exists():
        return []
    simulated = json.loads(SIMULATED.read_text(encoding="utf-8"))
    kinds, *different = simulated.values()
    gates = sum(found["gates"] for found in kinds.values())
    alarms = sum(found["false alarms"] for found in kinds.values())
    rows = [
        [
            kind,
            f"{found['gates']:,}",
            f"{found['false alarms']} ({found['false alarms'] / found['gates']:.2%})",
            *(f"{found[key]:.1%}" for key in ("coverage", "naive", "suspected")),
            *(f"{found[key]:.1%}" for key in ("at_once", "equal")),
            *(with_error(others[kind]) for others in different),
        ]
        for kind, found in kinds.items()
    ]
    headings = ["noise added", "sessions", "with a false alarm", "coverage of the intervals"]
    headings += ["coverage if rounds were evidence", "sessions with a suspect"]
    headings += ["EQUIVALENT after the screen", "and in the end"]
    headings += [f"… at a lasting difference of {share}" for share in list(simulated)[1:]]
    return [
        "",
        "## Drawn from the recorded blocks",
        "",
        f"{gates:,} simulated sessions of 12 benchmarks, {alarms} of them with a false alarm.",
        "Their blocks are recorded ones of identical code, in their order; which side is which is",
        "drawn once for each benchmark. `tools/simulation.py` says what the noises are. This is an",
        "illustration and no proof: the recorded blocks are those of four rows of `mlp`, each",
        "taken three times. Behind ± is the standard error that the number of recorded sessions",
        "causes: each eighth of them was left out in turn.",
        *coverage_lines(kinds),
        "",
        *markdown.table(headings, rows),
        "",
        "At a margin of 2 %, the rule calls what differs by that EQUIVALENT in 4.4 % of sessions",
        "where blocks are independent and of one symmetric distribution.",
    ]


def with_error(found: Mapping[str, float]) -> str:
    """The share of verdicts that are EQUIVALENT, with its standard error if it is known."""
    error = found.get("equal_error")
    return f"{found['equal']:.1%}" + (f" ± {error:.1%}" if error else "")


def coverage_lines(kinds: dict[str, dict[str, float]]) -> list[str]:
    """Whether the intervals keep what they promise under every noise."""
    promise = 1 - 2 * LOOK_ERROR
    broken = [
        f"{found['coverage']:.1%} under `{kind}`"
        for kind, found in kinds.items()
        if found["coverage"] < promise
    ]
    if not broken:
        return [f"Under each of them at least {promise:.1%} of the intervals hold the truth."]
    return [
        f"An interval promises {promise:.1%} where blocks are independent and nothing is",
        f"suspected. It holds the truth less often: {', '.join(broken)}.",
    ]


def peers_lines() -> list[str]:
    """What `python -m tools.peers table` found, as Markdown."""
    if not PEERS.exists():
        return []
    found = json.loads(PEERS.read_text(encoding="utf-8"))
    ours = [false_alarms("identical"), *(detections("detection", d) for d in doses("detection"))]
    rows = [["**this gate**", *(share(*count) for count in ours), ""]]
    for rule, counts in found.items():
        alarms = [(wrong, of - wrong) for wrong, of in (counts[0], ours[0])]
        chance = stats.fisher_exact(alarms, alternative="greater").pvalue
        rows.append([rule, *(share(*count) for count in counts), f"{chance:.2g}"])
    headings = ("rule", "suites with a false alarm", "dose 5 % found", "dose 10 % found", "p")
    suites = list(recorded("peers"))
    about = ABOUT_PEERS.format(
        plain=usual_cost(s for s in suites if not any(s["shares"].values())),
        changed=usual_cost(s for s in suites if any(s["shares"].values())),
        ours_plain=usual_cost(recorded("identical")),
        ours_changed=usual_cost(recorded("detection")),
    )
    return ["", *about.splitlines(), "", *markdown.table(headings, rows)]


def usual_cost(sessions: Iterable[dict[str, Any]]) -> float:
    """Median seconds of sessions; NaN without any."""
    return median([session["seconds"] for session in sessions] or [nan])


def false_alarms(*campaigns: str) -> tuple[int, int]:
    """In how many sessions an unchanged time was called a change, and of how many."""
    sessions = [session for campaign in campaigns for session in recorded(campaign)]
    wrong = (
        any(
            verdict["verdict"] in CALLED and not planted(session, name)
            for name, verdict in judged(session).items()
        )
        for session in sessions
    )
    return sum(wrong), len(sessions)


def detections(campaign: str, dose: float) -> tuple[int, int]:
    """How often a planted dose was found, and of how many times."""
    return found_of(counted(recorded(campaign)).get(dose, Counter()))


def found_of(words: Counter[str]) -> tuple[int, int]:
    """How many times of a dose were found, and of how many, by what `counted` counts."""
    return words["found"], words.total() - words["found"]


def found_with_fewer_rounds() -> tuple[int, int]:
    """How often planted work is found in `detection` cut to the rounds of now, and of how many."""
    words = []
    for session in recorded("detection"):
        for name, row in session["rows"].items():
            if work := planted(session, name):
                sides = [by_block(row[side]) for side in ("new", "old")]
                most = MOST_ROUNDS * len(sides[0][0])
                new, old = ({block: taken[:most] for block, taken in s.items()} for s in sides)
                place = "step[]", "", "", time_metric(MARGIN)
                found = judge(Comparison(*place, new, old, row["screened_blocks"], row["suspects"]))
                words.append(found.status is (Status.REGRESSED if work > 0 else Status.IMPROVED))
    return sum(words), len(words)


def share(found: int, of: int) -> str:
    """A count with the exact 95 % interval of its share (Clopper and Pearson, 1934)."""
    if not of:
        return "none of none yet"
    low, high = stats.binomtest(found, of).proportion_ci(0.95)
    return f"{found} of {of} [{low:.1%}, {high:.1%}]"


def version_lines(session: dict[str, Any]) -> list[str]:
    """What one session over several versions found, as Markdown."""
    here, *others = session["environments"]
    lines = [
        "",
        f"## From version to version, {session['began'][:10]}",
        "",
        f"One session of {session['seconds'] / 60:.0f} minutes with the gate of that day,",
        f"`{' '.join(session['options'])}`: `{here}` over each of the others. Above 1, the",
        "newest is slower, or takes more.",
        "",
    ]
    rows = []
    for name, known in session["environments"].items():
        versions = ", ".join(f"{package} {number}" for package, number in known["versions"].items())
        accuracy = ", ".join(f"{value:.4f}" for value in known["accuracy"].values())
        rows.append([f"`{name}`", versions, f"{known['parity']:.1e}", accuracy])
    headings = ("environment", "versions", "worst parity", "accuracy after an epoch")
    lines += [*markdown.table(headings, rows), ""]
    rows = []
    for test, verdicts in session["verdicts"].items():
        for metric in ("time", "peak memory"):
            cells = {v["environment"]: cell(v) for v in verdicts if v["metric"] == metric}
            what = f"{test.removeprefix('test_')}, {metric}"
            rows.append([what, *(cells.get(environment, "") for environment in others)])
    rows = [row for row in rows if any(row[1:])]
    return lines + markdown.table(["", *(f"over `{name}`" for name in others)], rows)


def cell(verdict: dict[str, Any]) -> str:
    """A verdict with its ratio and interval."""
    if verdict["ratio"] is None:
        return str(verdict["verdict"])
    ends = verdict["low"], verdict["high"]
    interval = "" if None in ends else f" [{ends[0]:.3f}, {ends[1]:.3f}]"
    return f"{verdict['verdict']} {verdict['ratio']:.3f}{interval}"


def rows() -> list[charts.Session]:
    """Every ratio of the live sessions, by what was planted."""
    found = [
        (planted(session, name), verdict)
        for campaign in ("looks", "doses")
        for session in recorded(campaign)
        for name, verdict in judged(session).items()
        if verdict["low"] is not None
    ]
    found.sort(key=lambda row: (row[0], row[1]["ratio"]))
    return [
        (share, verdict["low"], verdict["high"], verdict["verdict"] in CALLED)
        for share, verdict in found
    ]


if __name__ == "__main__":
    (DOCS / "measured.md").write_text(page(), encoding="utf-8")
    charts.write(DOCS / "measured.svg", charts.sessions, rows())
