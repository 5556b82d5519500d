"""`tunneld policy`: a tenant's policy as files, plans of changes, and what a change would do before it is made."""

from __future__ import annotations

import typer

from tunneld.cli import policy_code, policy_explain, policy_people, policy_questions

app = typer.Typer(
    no_args_is_help=True, help="Policy as files, plans of changes, and what a change would do before it is made."
)
app.command("export")(policy_code.export)
app.command("plan")(policy_code.show_plan)
app.command("apply")(policy_code.apply)
app.command("whatif")(policy_questions.whatif)
app.command("explain")(policy_explain.explain)
app.command("lint")(policy_questions.lint)
app.command("sync")(policy_people.sync)
app.command("ghosts")(policy_people.ghosts)
app.command("offboard")(policy_people.offboard)
