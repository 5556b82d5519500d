"""`tunneld lab demo`: plays the story in a fresh lab and shows what passed."""

from __future__ import annotations

import time
from pathlib import Path
from typing import NamedTuple

import httpx
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from tunneld.lab import world
from tunneld.lab.clients import WebClient
from tunneld.lab.control import Control
from tunneld.lab.identity_story import Administrators, IdentityStory
from tunneld.lab.processes import Programs
from tunneld.lab.story import STORY, Stage, Step, Unexpected
from tunneld.lab.up import Lab, running, signals_as_interrupt
from tunneld.model.errors import TunneldError

_BROKEN = (TunneldError, httpx.HTTPError, OSError, ValueError, KeyError)


class Result(NamedTuple):
    """How one step ended."""

    step: Step
    passed: bool
    seconds: float


def play(state: Path, *, identity: bool = False) -> bool:
    """Start the lab in `state`, play every step, print the table; return whether all passed.

    `identity` plays the story of two organizations instead of the one of the tunnel.
    """
    console = Console(highlight=False, soft_wrap=True)
    begin = time.monotonic()
    console.print("[bold]tunneld demo[/]: three tenants, their edges, an identity provider and real applications")
    try:
        with signals_as_interrupt(), running(state, lambda line: console.print(f"  [dim]{escape(line)}[/]")) as lab:
            results = _play_in(lab, console, begin, identity=identity)
    except TunneldError as error:
        console.print(f"[red]the lab did not start[/]: {escape(str(error))}")
        console.print(f"logs: {state / 'lab' / 'logs'}")
        return False
    passed = all(result.passed for result in results)
    console.print(_table(results))
    console.print(
        f"{sum(result.passed for result in results)} of {len(results)} passed in {time.monotonic() - begin:.0f} s"
    )
    if passed:
        console.print("next: [bold]make lab[/] leaves it running; README.md has lines to try")
    return passed


def _play_in(lab: Lab, console: Console, begin: float, *, identity: bool) -> list[Result]:
    paths, canaries = lab.configuration.paths, lab.configuration.secrets.canaries
    results: list[Result] = []
    with Control(paths.control) as control:
        web = WebClient(lab.proxy, paths.bundle)
        stage = Stage(lab.proxy, paths.root, canaries, web, control)
        console.print(
            f"  signed in as {world.LAB_USER}; proxy {lab.proxy}; client {web.name}; "
            f"ready after {time.monotonic() - begin:.1f} s\n"
        )
        administrators = Administrators(lab.configuration, lab.administrators)
        story = IdentityStory(administrators).steps() if identity else STORY
        for number, step in enumerate(story, 1):
            console.print(f"[bold]{number:>2}/{len(story)}[/] {step.title}")
            results.append(_act(step, stage, lab.programs, console))
    return results


def _act(step: Step, stage: Stage, programs: Programs, console: Console) -> Result:
    begin = time.monotonic()
    try:
        seen = step.act(stage)
    except Unexpected as finding:
        console.print(f"      [red]FAILED[/] expected: {escape(finding.expected)}")
        console.print(f"             came:     {escape(finding.came)}")
        console.print(f"             logs:     {programs.logs}")
    except _BROKEN as error:  # a broken answer is a failed step, not the end
        console.print(f"      [red]FAILED[/] {type(error).__name__}: {escape(str(error))}")
        console.print(f"             logs: {programs.logs}")
    else:
        seconds = time.monotonic() - begin
        console.print(f"      [green]passed[/] in {seconds * 1000:.0f} ms: {escape(seen)}")
        return Result(step, True, seconds)
    for program in programs.ended():
        console.print(f"             {program.name} ended with status {program.exit_status()}: {program.last_words()}")
    return Result(step, False, time.monotonic() - begin)


def _table(results: list[Result]) -> Table:
    table = Table(title="the story", title_justify="left")
    table.add_column("#", justify="right")
    table.add_column("step")
    table.add_column("time", justify="right")
    table.add_column("result")
    for number, result in enumerate(results, 1):
        verdict = "[green]passed[/]" if result.passed else "[red]FAILED[/]"
        table.add_row(str(number), result.step.title, f"{result.seconds * 1000:.0f} ms", verdict)
    return table
