"""The replay call: recorded sign-ins asked again of a candidate policy. It reads and never writes."""

from __future__ import annotations

import asyncio
from typing import Annotated

from pydantic import Field
from starlette.responses import JSONResponse, Response

from tunneld.idp.administration.candidates import read_model
from tunneld.idp.administration.what_if import Candidate, candidate_directory
from tunneld.idp.graph.call import Call
from tunneld.idp.graph.resource import Operation
from tunneld.idp.sign_in_log import recorded_questions
from tunneld.policy.guests.governance import Time, moment
from tunneld.policy.objects import GraphObject
from tunneld.policy.replay import replay

MAX_RECORDS = 20_000  # sign-ins of one replay: some seconds of work
MAX_ROWS = 1000  # of a report; the summary counts all
_READ_LOGS = "microsoft.directory/signInReports/allProperties/read"


class Replay(GraphObject):
    """A candidate policy, and which of the recorded sign-ins are asked again."""

    candidate: Candidate = ()
    since: Time | None = None
    until: Time | None = None
    newest: Annotated[int, Field(ge=1, le=MAX_RECORDS)] = MAX_RECORDS


async def replay_sign_ins(call: Call) -> Response:
    """Ask recorded sign-ins again, to the tenant and of its people elsewhere; tell who would gain or lose what."""
    asked = await read_model(call.request, Replay)
    before, after = call.directory, candidate_directory(call, asked.candidate)
    since = moment(asked.since) if asked.since else None
    until = moment(asked.until) if asked.until else None
    await call.provider.records.flush()  # the latest sign-ins may wait to be stored
    database = call.provider.database
    records = await recorded_questions(database, call.tenant.id, since=since, until=until, newest=asked.newest)
    # A decision takes a fraction of a millisecond, twenty thousand of them take seconds: not on the loop.
    found = await asyncio.to_thread(replay, records, before, after, call.tenant.id)
    rows = [difference.to_json() for difference in found.differences[:MAX_ROWS]]
    return JSONResponse({
        "summary": found.summary(), "truncated": len(found.differences) > MAX_ROWS, "value": rows,
        "policyVersion": before.tenants[call.tenant.id].version,
        "candidateVersion": after.tenants[call.tenant.id].version,
    })


OPERATIONS = (
    Operation("POST", "/policies/replay", replay_sign_ins,
              "Ask recorded sign-ins again of a candidate policy. Not in Microsoft Graph.", _READ_LOGS, body=Replay,
              tag="what-if"),
)
