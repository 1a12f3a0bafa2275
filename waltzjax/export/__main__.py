"""Export: hand over what was trained.

    python -m waltzjax.export --workdir=runs/demo --output=DIR           # all agents, with cards
    python -m waltzjax.export --workdir=runs/lora --output=DIR --merge --dtype=bfloat16
    python -m waltzjax.export --verify=DIR                               # is it what was exported?
    python -m waltzjax.export --verify=DIR --workdir=runs/demo           # and what the run has?
    python -m waltzjax.export --workdir=runs/demo --output=DIR --push=ORG/NAME
    python -m waltzjax.export --agent=runs/lora/feedback --output=merged # one adapter, no card
    python -m waltzjax.export --agent=runs/full/feedback --output=half --dtype=bfloat16

Exit status 1 where --verify finds a difference; 143 and 130 after SIGTERM and Ctrl-C, which leave
nothing of an export that was under way.
"""

from __future__ import annotations

from pathlib import Path

from absl import flags

from waltzjax.export.agent import BASE, DTYPES, export_agent
from waltzjax.export.pair import check_export, export_run, leaves_base
from waltzjax.export.push import check_push, push, repositories
from waltzjax.export.source import Run, read_run
from waltzjax.export.unfinished import stoppable, tell_leftovers
from waltzjax.export.verify import exported_agents, verify
from waltzjax.run import cli


def main() -> None:
    f = flags.FLAGS
    check_flags()
    run = read_run(Path(f.workdir)) if f.workdir else None
    if f.agent:
        _export_one(Path(f.agent), Path(f.output))
    elif run and not f.verify:
        _hand_over(run, Path(f.output))
    else:
        _look_at(Path(f.verify), run)


def _export_one(agent: Path, output: Path) -> None:
    tell_leftovers(output)
    with stoppable(output):
        export_agent(agent, output, flags.FLAGS.dtype)


def _hand_over(run: Run, output: Path) -> None:
    """Export ``run``; with --push check first that the hub would take it, then look at it."""
    f = flags.FLAGS
    tell_leftovers(output)
    check_export(run, output, f.dtype, merges=f.merge)
    beside = leaves_base(run, merges=f.merge)
    hub = check_push(repositories(f.push, run.roles, beside=beside), f.private) if f.push else None
    with stoppable(output):
        export_run(run, output, f.dtype, merges=f.merge)
    if hub:
        verify(output, run)
        push(hub, output)


def _look_at(directory: Path, run: Run | None) -> None:
    """Verify an export, and push it with --push."""
    f, roles = flags.FLAGS, exported_agents(directory)
    beside = (directory / BASE).is_dir()
    hub = check_push(repositories(f.push, roles, beside=beside), f.private) if f.push else None
    verify(directory, run)
    if hub:
        push(hub, directory)


def check_flags() -> None:
    """End the command where its flags do not go together."""
    f = flags.FLAGS
    wanted = [name for name in ("agent", "workdir", "verify") if f[name].value]
    if wanted not in (["agent"], ["workdir"], ["verify"], ["workdir", "verify"]):
        cli.usage(
            "wanted is --workdir=RUN and --output=DIR; or --verify=DIR, with --workdir=RUN or "
            "without; or --agent=DIR and --output=DIR"
        )
    if bool(f.verify) == bool(f.output):
        cli.usage("--output is the new directory; --verify looks at one that is there, without it")
    for name, goes_with in (("merge", ["workdir"]), ("push", ["workdir", "verify"])):
        if f[name].value and not {*wanted} & {*goes_with}:
            cli.usage(f"--{name} goes with --{' or --'.join(goes_with)}")
    if f.verify and (f.merge or f.dtype):
        cli.usage("--merge and --dtype say how an export is written; --verify writes none")


if __name__ == "__main__":
    flags.DEFINE_string("workdir", "", "Directory of a finished run: all of its agents.")
    flags.DEFINE_string("agent", "", "Instead: a PEFT directory, or a whole model's with --dtype.")
    flags.DEFINE_string("output", "", "Directory to write; does not exist yet.")
    flags.DEFINE_enum("dtype", "", ["", *DTYPES], "What to write; default: as the files have it.")
    flags.DEFINE_bool("merge", False, "Merge adapters into their base, for whole models.")
    flags.DEFINE_string(
        "verify",
        "",
        "Directory of an export: check its files, load its agents and compare their logits with "
        "those that the run's agents had; with --workdir, have.",
    )
    flags.DEFINE_string(
        "push", "", "ORG/NAME: verify, then upload each agent to the hub as ORG/NAME-ROLE."
    )
    flags.DEFINE_bool("private", True, "--push: repositories that others cannot see.")
    cli.run(main)
