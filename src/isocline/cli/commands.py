"""The commands, where their code is, and what their help says.

The code is named by import strings: it is loaded when its command runs, so that `isocline --help`
does not wait for JAX.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Command:
    """One command.

    Args:
        path: `module:function` of its code.
        summary: one line for the list of commands.
        details: more for its own help.
        examples: command lines, without `isocline` in front.
    """

    path: str
    summary: str
    details: str
    examples: tuple[str, ...]

    @property
    def help(self) -> str:
        """Summary and details, as they stand above the options."""
        return f"{self.summary}\n\n{self.details}"

    @property
    def epilogue(self) -> str:
        """The examples, as they stand below the options."""
        return "\n".join(["Examples:", *(f"  isocline {line}" for line in self.examples)])


COMMANDS = {
    "forecast": Command(
        "isocline.cli.forecast:forecast",
        "Train on a table of irregular measurements, backtest, and forecast.",
        "DATA is a CSV, TSV or Parquet file with one row a measurement time (and series), or "
        "the name of built-in data: sst (the default) or seattle_weather. Times may be "
        "irregular, cells may be empty, and series may differ in length. Columns that are not"
        " named are guessed where there is no doubt, and the guess is printed. DIR gets "
        "forecast.csv, metrics.json, backtest.csv, report.html, config.toml and model/. "
        "Ctrl-C keeps a checkpoint; the same command with --resume goes on exactly where it "
        "stopped.",
        (
            "forecast --out results/sst",
            "forecast my.csv --time date --target level --horizon 90d",
            "forecast my.csv --at times.csv --out results/a",
            "forecast my.csv --known price,holiday --future plan.csv",
            "forecast --config results/a/config.toml --seed 1 --out results/b",
            "forecast --out results/a --resume",
        ),
    ),
    "predict": Command(
        "isocline.cli.predict:predict",
        "Forecast with a saved model, at any times.",
        "MODEL is the folder DIR/model that `isocline forecast --out DIR` wrote. The forecast"
        " is written as CSV, to the standard output if no file is named. Without --at and "
        "--horizon it reaches as far as the model was trained to.",
        (
            "predict results/sst/model --horizon 180d",
            "predict results/sst/model --at 2011-01-15,2011-02-15",
            "predict results/a/model --at times.csv --data newer.csv",
            "predict results/a/model --future plan.csv",
        ),
    ),
    "evaluate": Command(
        "isocline.cli.evaluate:evaluate",
        "Backtest a saved model against the baselines, or cross-validate it.",
        "MODEL is the folder DIR/model that `isocline forecast --out DIR` wrote. Model and "
        "baselines forecast from the same rolling origins over the last fifth of the rows: of"
        " the data that the model was trained on (without that last fifth), or of the file "
        "that --data names. With --cutoffs, or --count and --step, they forecast from chosen times "
        "instead, which must come after the rows that the model was fitted to, or, with --refit, "
        "from a fresh model at each.",
        (
            "evaluate results/sst/model",
            "evaluate results/a/model --data newer.csv --json",
            "evaluate results/a/model --cutoffs 2019-01-01,2020-01-01",
            "evaluate results/a/model --count 3 --step 180d --horizon 90d --refit",
        ),
    ),
    "density": Command(
        "isocline.cli.density:density",
        "Learn the density of a table's rows, score them, and draw new ones.",
        "DATA is a CSV, TSV or Parquet file with one row an observation; all columns are numbers, "
        "or are named by --context. A continuous normalizing flow learns their density; it is "
        "tested on rows that are kept apart. DIR gets scores.csv (the log-density of every row: "
        "the lowest are anomalies), sample.csv, metrics.json, report.html, config.toml and model/. "
        "Ctrl-C keeps a checkpoint; the same command with --resume goes on exactly where it "
        "stopped.",
        (
            "density my.csv --out results/density",
            "density my.csv --columns height,weight --context sex",
            "density my.csv --bounds share=0:1,wait=0: --likelihood 5",
        ),
    ),
    "score": Command(
        "isocline.cli.score:score",
        "Say how likely rows are, by a density that was learnt before.",
        "MODEL is the folder DIR/model that `isocline density --out DIR` wrote, DATA a CSV, TSV or "
        "Parquet file with its columns. Each row gets its log-density, in nats and in the units of "
        "the table: the lowest are anomalies. They are written as CSV, to the standard output "
        "if no file is named.",
        (
            "score results/density/model new.csv",
            "score results/density/model new.csv --out scores.csv",
        ),
    ),
    "events": Command(
        "isocline.cli.events:events",
        "Learn the rate of events over time from when they happened.",
        "DATA is a CSV, TSV or Parquet file with one row an event. Sequences of events are series "
        "that --series tells apart, their times numbers from 0 to --end, or the periods that "
        "--every cuts a long record in; those without events count. A latent ODE learns their "
        "rate; it is tested beside simple Poisson processes on sequences that are kept apart. DIR "
        "gets scores.csv (each sequence), rate.csv (the rate of one that is not known yet), "
        "metrics.json, report.html, config.toml and model/. Ctrl-C keeps a checkpoint; the same "
        "command with --resume goes on exactly where it stopped.",
        (
            "events calls.csv --every 1d --out results/calls",
            "events calls.csv --every 7d --start 2024-01-01 --stop 2025-01-01",
            "events stays.csv --time hour --series patient --end 48",
        ),
    ),
    "info": Command(
        "isocline.cli.info:info",
        "Say what a model or a table is, or what is installed.",
        "WHAT is a folder with a saved model, a CSV, TSV or Parquet file, or the name of "
        "built-in data; without it, versions, devices and the built-in data are listed.",
        ("info", "info my.csv", "info seattle_weather", "info results/sst/model --json"),
    ),
    "reproduce": Command(
        "isocline.cli.experiments:reproduce",
        "Repeat an experiment of a paper, its numbers beside the published ones.",
        "Without NAME, or with --list, the experiments are listed.",
        (
            "reproduce --list",
            "reproduce spirals --quick",
            "reproduce spirals --seeds 3 --out results/spirals",
        ),
    ),
    "bench": Command(
        "isocline.cli.experiments:bench",
        "Measure Isocline beside other libraries, in one run on this machine.",
        "Without NAME, or with --list, the benchmarks are listed. Libraries that are not "
        "installed are left out; pip install 'isocline[peers]' brings them.",
        ("bench --list", "bench NAME --quick --json"),
    ),
    "check-gradient": Command(
        "isocline.cli.tools:check_gradient",
        "Compare the gradients of all adjoints with finite differences.",
        "FILE is a Python file with f(t, y, args), y0 and ts, and if there are any args, "
        "loss(ys) and options (a dict for isocline.solve). FILE.py:NAME takes them from a mapping, "
        "an object or a function of that name. The file is run.",
        ("check-gradient my_problem.py", "check-gradient my_problem.py --rtol 1e-6 --json"),
    ),
    "debug-gradient": Command(
        "isocline.cli.tools:debug_gradient",
        "Find where a solve or its gradient first becomes NaN or infinite, and why.",
        "FILE is a Python file with f(t, y, args), y0 and ts, and if there are any args, "
        "loss(ys) and options (a dict for isocline.solve). FILE.py:NAME takes them from a mapping, "
        "an object or a function of that name. The file is run.",
        ("debug-gradient my_problem.py", "debug-gradient models.py:stiff --double"),
    ),
    "profile": Command(
        "isocline.cli.tools:profile",
        "Measure a solve and its gradient: seconds, bytes, evaluations, distance to the floor.",
        "FILE is a Python file with f(t, y, args), y0 and ts, and if there are any args, "
        "loss(ys) and options (a dict for isocline.solve). FILE.py:NAME takes them from a mapping, "
        "an object or a function of that name. The file is run.",
        ("profile my_problem.py", "profile my_problem.py --adjoint backsolve --json"),
    ),
}
