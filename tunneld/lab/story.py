"""The demo's story: what a newcomer should see, step by step, each with what was expected and what came."""

from __future__ import annotations

import hashlib
import json
import secrets
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from tunneld.lab.clients import Answer, OpenFlow, WebClient
from tunneld.lab.control import Control

UPLOAD = 8 * 1024 * 1024
COMMAND_TIMEOUT_S = 60.0
RESET_TIMEOUT_S = 2.0


class Unexpected(Exception):  # noqa: N818 - a finding of the story, not a fault of the program
    """A step saw something else than it should have."""

    def __init__(self, expected: str, came: object) -> None:
        super().__init__(f"expected {expected}; came {came}")
        self.expected = expected
        self.came = str(came)


@dataclass
class Stage:
    """What the steps act with."""

    proxy: str
    state: Path
    canaries: dict[str, str]
    web: WebClient
    control: Control
    open_flow: OpenFlow | None = None

    def command(self, *arguments: str) -> dict[str, Any]:
        """Run `tunneld ARGUMENTS --json` as a user would, and return what it printed."""
        done = subprocess.run(
            [sys.executable, "-m", "tunneld", *arguments, "--state", str(self.state), "--json"],
            capture_output=True, text=True, timeout=COMMAND_TIMEOUT_S, check=False,
        )
        try:
            document = json.loads(done.stdout)
        except ValueError:
            raise Unexpected(f"JSON from tunneld {' '.join(arguments)}", done.stderr or done.stdout) from None
        assert isinstance(document, dict)
        return document

    def last_flow(self, destination: str) -> dict[str, Any]:
        """Return the newest flow record of a destination."""
        for record in self.control.records("/v1/flows?limit=200"):
            if record["destination"] == destination:
                return record
        raise Unexpected(f"a flow record of {destination}", "none")


class Step(NamedTuple):
    """One line of the story. `act` returns what was seen, or raises Unexpected."""

    title: str
    act: Callable[[Stage], str]


def private_application(stage: Stage) -> str:
    """Home's private page through the tunnel."""
    answer = stage.web.get("http://portal.contoso.internal/")
    _expect_canary(stage, answer, "contoso")
    flow = _expect_flow(stage, "portal.contoso.internal", action="tunnel", channel="private", tenant="contoso")
    return f"{answer.canary}, rule {flow['rule_id']}"


def literal_address(stage: Stage) -> str:
    """The same page by its private address, over SOCKS."""
    answer = stage.web.get("http://10.10.1.10/", socks=True)
    _expect_canary(stage, answer, "contoso")
    return f"{answer.canary}"


def end_to_end_tls(stage: Stage) -> str:
    """TLS between the client and the application, through the tunnel."""
    answer = stage.web.get("https://secure.contoso.internal/")
    _expect_canary(stage, answer, "contoso")
    return f"{answer.canary}, certificate verified by {stage.web.name}"


def upload(stage: Stage) -> str:
    """A large upload with a half-close; the sink's receipt proves every byte."""
    content = secrets.token_bytes(UPLOAD)
    with OpenFlow(stage.proxy, "upload.contoso.internal", 9) as flow:
        receipt = json.loads(flow.upload(content) or b"{}")
    if receipt.get("sha256") != hashlib.sha256(content).hexdigest():
        raise Unexpected(f"a receipt for {len(content)} bytes with the same SHA-256", receipt)
    return f"{receipt['bytes'] // 1024 // 1024} MiB, SHA-256 {receipt['sha256'][:12]}… on both sides"


def public_application(stage: Stage) -> str:
    """A site that no rule names goes direct."""
    answer = stage.web.get("http://public.example/")
    _expect_canary(stage, answer, "public")
    _expect_flow(stage, "public.example", action="direct", tenant="contoso")
    return f"{answer.canary}, no rule, no tunnel"


def internet_channel(stage: Stage) -> str:
    """A site of the Internet channel goes through that channel's own tunnel."""
    answer = stage.web.get("http://www.news.example/")
    _expect_canary(stage, answer, "public")
    flow = _expect_flow(stage, "www.news.example", action="tunnel", channel="internet", tenant="contoso")
    return f"channel internet, rule {flow['rule_id']}"


def refusal(stage: Stage) -> str:
    """An application that is not assigned to the user is refused, with the reason in the protocol's own words."""
    answer = stage.web.get("http://vault.contoso.internal/")
    flow = _expect_flow(stage, "vault.contoso.internal", state="refused", reason="application_not_assigned")
    if answer.status != 403 or "application_not_assigned" not in answer.headers.get("proxy-status", ""):
        raise Unexpected("status 403 with proxy-status details=application_not_assigned", answer)
    explained = stage.command("explain", "vault.contoso.internal:80")
    losers = [candidate["rule"] for candidate in explained["candidates"] if candidate["outcome"] == "lost"]
    return f"403 {flow['reason']}; explain: rule {explained['rule']['id']} won, {', '.join(losers) or 'nobody'} lost"


def blocked(stage: Stage) -> str:
    """A rule that blocks does so although the name resolves."""
    answer = stage.web.get("http://gambling.example/")
    if answer.status != 403 or "rule_block" not in answer.headers.get("proxy-status", ""):
        raise Unexpected("status 403 with proxy-status details=rule_block", answer)
    explained = stage.command("explain", "gambling.example:80")
    _equal("verdict of explain", "block", explained["verdict"])
    return f"403 {explained['reason']}, rule {explained['rule']['id']}"


def foreign_application(stage: Stage) -> str:
    """Another tenant's private application is out of reach until that tenant is active."""
    answer = stage.web.get("http://portal.corp.internal/")
    if answer.canary is not None or answer.status < 400:
        raise Unexpected("no way to portal.corp.internal while contoso is active", answer)
    return str(answer.status) + " " + answer.headers.get("proxy-status", answer.error)


def keep_open(stage: Stage) -> str:
    """Leave one flow open, to see what a switch does to it."""
    stage.open_flow = OpenFlow(stage.proxy, "echo.contoso.internal", 7)
    _equal("echo's introduction", f"{stage.canaries['contoso']}\n".encode(), stage.open_flow.exchange(b"whoami\n"))
    return "echo.contoso.internal:7 answers and stays open"


def switch_to_fabrikam(stage: Stage) -> str:
    """The switch is a transaction with a receipt."""
    return _switch(stage, "contoso", "fabrikam", least_terminated=1)


def open_flow_was_reset(stage: Stage) -> str:
    """The old tenant's flow ended with a reset, not with a clean end that could be taken for a whole answer."""
    assert stage.open_flow is not None
    with stage.open_flow as flow:
        _equal("end of the open flow", "reset", flow.ending(RESET_TIMEOUT_S))
    record = _expect_flow(stage, "echo.contoso.internal", state="terminated", reason="tenant_switched")
    return f"reset, reason {record['reason']}, tenant {record['tenant']}, epoch {record['epoch']}"


def fabrikam_application(stage: Stage) -> str:
    """As a guest of fabrikam, the name means fabrikam's application."""
    answer = stage.web.get("http://portal.corp.internal/", socks=True)
    _expect_canary(stage, answer, "fabrikam")
    return f"portal.corp.internal is {answer.canary}"


def home_is_out_of_reach(stage: Stage) -> str:
    """Home's private application cannot be reached from the guest tenant."""
    answer = stage.web.get("http://portal.contoso.internal/")
    if answer.canary is not None or answer.status < 400:
        raise Unexpected("no way to portal.contoso.internal while fabrikam is active", answer)
    return str(answer.status) + " " + answer.headers.get("proxy-status", answer.error)


def switch_to_woodgrove(stage: Stage) -> str:
    """From one partner to the next."""
    return _switch(stage, "fabrikam", "woodgrove")


def woodgrove_application(stage: Stage) -> str:
    """The same name and the same private address mean woodgrove's application now."""
    by_name = stage.web.get("http://portal.corp.internal/")
    _expect_canary(stage, by_name, "woodgrove")
    by_address = stage.web.get("http://10.20.1.10/")
    _expect_canary(stage, by_address, "woodgrove")
    return f"portal.corp.internal and 10.20.1.10 are {by_name.canary}"


def switch_back(stage: Stage) -> str:
    """Home again."""
    receipt = _switch(stage, "woodgrove", "contoso")
    _expect_canary(stage, stage.web.get("http://portal.contoso.internal/"), "contoso")
    return receipt


STORY = (
    Step("private application through the tunnel", private_application),
    Step("the same one by its private address, over SOCKS5", literal_address),
    Step("TLS from end to end through the tunnel", end_to_end_tls),
    Step("an upload arrives whole, half-close included", upload),
    Step("public application goes direct", public_application),
    Step("a site of the Internet channel", internet_channel),
    Step("an application that is not assigned is refused, and explained", refusal),
    Step("a blocked site is blocked, and explained", blocked),
    Step("a partner's application is out of reach", foreign_application),
    Step("a flow is left open", keep_open),
    Step("switch to fabrikam, as a guest", switch_to_fabrikam),
    Step("the open flow was reset", open_flow_was_reset),
    Step("fabrikam's application by its name", fabrikam_application),
    Step("home's application is out of reach", home_is_out_of_reach),
    Step("switch to woodgrove", switch_to_woodgrove),
    Step("the same name now reaches woodgrove", woodgrove_application),
    Step("switch back home", switch_back),
)


def _switch(stage: Stage, origin: str, target: str, *, least_terminated: int = 0) -> str:
    receipt = stage.command("switch", target)
    _equal("the receipt", (origin, target, True, None),
           tuple(receipt.get(key) for key in ("from", "to", "committed", "reason")))
    _equal("bytes of the old tenant after the commit", 0, receipt["old_epoch_bytes_after_commit"])
    flows, phases = receipt["flows"], receipt["phases"]
    if flows["terminated"] < least_terminated:
        raise Unexpected(f"at least {least_terminated} terminated flow", flows)
    times = ", ".join(f"{name.removesuffix('_ms')} {value:.1f} ms" for name, value in phases.items())
    return (
        f"epoch {receipt['epoch']}; {times}; {flows['terminated']} terminated, {flows['drained']} drained, "
        f"{flows['kept']} kept; 0 bytes of {origin} after the commit"
    )


def _expect_canary(stage: Stage, answer: Answer, owner: str) -> None:
    if answer.status != 200 or answer.canary != stage.canaries[owner]:
        raise Unexpected(f"status 200 with {owner}'s canary {stage.canaries[owner]}", answer)


def _expect_flow(stage: Stage, destination: str, **fields: str) -> dict[str, Any]:
    record = stage.last_flow(destination)
    seen = {name: record.get(name) for name in fields}
    _equal(f"the flow record of {destination}", fields, seen)
    return record


def _equal(what: str, expected: object, came: object) -> None:
    if expected != came:
        raise Unexpected(f"{what} = {expected}", came)
