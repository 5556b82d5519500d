"""The calls around a synchronization job: run it now, rehearse it, and see how it gets on. Not in Microsoft Graph."""

from __future__ import annotations

import asyncio

from starlette.responses import JSONResponse, Response

from tunneld.idp.administration.cycle_runs import JobKey, Run, rehearse
from tunneld.idp.administration.rows import JOBS, JOBS_PATH
from tunneld.idp.administration.run_reports import kept_report
from tunneld.idp.answers import ApiError
from tunneld.idp.graph.call import Call
from tunneld.idp.graph.resource import Operation

_TAG = "synchronization"


async def start(call: Call) -> Response:
    """Have a cycle run as soon as possible: 202 and where to look."""
    key = _key(call)
    if not call.provider.cycles.ask(key):
        raise ApiError(409, "alreadyRunning", "The job is running or waiting to run.")
    return Response(status_code=202, headers={"location": f"{call.root}{JOBS_PATH}/{key[1]}/status"})


async def dry_run(call: Call) -> Response:
    """Answer what a cycle would do, person by person, and do nothing."""
    key = _key(call)
    run = await asyncio.to_thread(rehearse, call.directory, key, call.provider.now())
    return JSONResponse(run.to_json())


async def status(call: Call) -> Response:
    """Answer how the running cycle gets on, or the report of the last one, be it from before a restart."""
    key = _key(call)
    run = call.provider.cycles.runs.get(key)
    if run is not None:
        return JSONResponse(run.to_json())
    kept = await kept_report(call.provider.database, key)
    return JSONResponse(kept if kept is not None else Run("notRun").to_json())


def _key(call: Call) -> JobKey:
    target = call.parameter().lower()
    if call.tenant.object(JOBS.kind, target) is None:
        raise ApiError(404, "Request_ResourceNotFound", "There is no synchronization job to that tenant.")
    return call.tenant.id, target


OPERATIONS = (
    Operation("POST", f"{JOBS_PATH}/{{id}}/start", start, "Run a synchronization cycle now.", JOBS.permissions.update,
              answer=202, tag=_TAG),
    Operation("POST", f"{JOBS_PATH}/{{id}}/plan", dry_run, "Rehearse a synchronization cycle.", JOBS.permissions.read,
              tag=_TAG),
    Operation("GET", f"{JOBS_PATH}/{{id}}/status", status, "Get the state of a job's last cycle.",
              JOBS.permissions.read, tag=_TAG),
)
