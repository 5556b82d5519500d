"""Who and what there is in the lab, as values: tenants, channels, applications, users and what is assigned to whom.

Ids are derived from names (RFC 9562 version 5), so that every lab anywhere has the same ones.
"""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID, uuid5

EDGE_DOMAIN = "edge.tunneld.test"  # RFC 6761: .test never resolves in public
NAMESPACE = UUID("9a1f8e52-6d0b-5c34-8f27-3b4e5d6c7a81")
HOME = "contoso"
PUBLIC = "public"


def identifier(kind: str, *names: str) -> str:
    """Return the lab's id for the thing of `kind` that `names` name."""
    return str(uuid5(NAMESPACE, "/".join((kind, *names))))


@dataclass(frozen=True)
class Origin:
    """One application listener: the destination that users type, and how the forwarding profile treats it."""

    name: str
    host: str
    port: int
    kind: str  # http | tls | echo | sink | udp-echo | slow | refuse | own
    segment: str  # the enterprise application (a key of Tenant.segments) that owns the destination
    address: str | None = None  # a second, literal destination for the same listener
    on_switch: str = "terminate"

    @property
    def protocol(self) -> str:
        """Transport protocol of the destination."""
        return "udp" if self.kind == "udp-echo" else "tcp"

    @property
    def private(self) -> bool:
        """Whether a tenant owns it; the rest are sites of the public Internet."""
        return self.host.endswith(".internal")


@dataclass(frozen=True)
class Segment:
    """An application in the sense of the directory: what is assigned to people, and what app tokens are for."""

    key: str
    name: str
    channel: str = "private"
    kind: str = "enterprise"
    assigned: tuple[str, ...] = ("lab-users",)  # groups; an empty tuple is the refusal the demo explains
    hardening: str = "block"
    catch_all: tuple[str, ...] = ()  # Quick Access destinations beside the origins


@dataclass(frozen=True)
class User:
    """Somebody who can sign in: a home account, or the guest object of one in another tenant."""

    name: str
    user_type: str = "member"
    home: str | None = None  # tenant name, for a guest object
    groups: tuple[str, ...] = ("lab-users",)
    roles: tuple[str, ...] = ()  # directory roles, over the whole tenant


@dataclass(frozen=True)
class Tenant:
    """A tenant with what it owns. No channels means: no forwarding profile, no edge."""

    name: str
    display_name: str
    domain: str
    users: tuple[User, ...]
    channels: tuple[str, ...] = ()
    segments: tuple[Segment, ...] = ()
    origins: tuple[Origin, ...] = ()
    user_types: tuple[str, ...] = ("member",)
    cloud: str = "microsoftonline.com"

    @property
    def id(self) -> str:
        """The tenant's GUID."""
        return identifier("tenant", self.name)

    def segment_id(self, key: str) -> str:
        """The application id of a segment: the audience of its app tokens."""
        return identifier("application", self.name, key)

    def channel_audience(self, channel: str) -> str:
        """The audience of the channel's token."""
        return identifier("channel", self.name, channel)

    def user_id(self, name: str) -> str:
        """The object id of a user in this tenant."""
        return identifier("user", self.name, name)

    def group_id(self, name: str) -> str:
        """The object id of a group in this tenant."""
        return identifier("group", self.name, name)

    def edge_name(self, channel: str) -> str:
        """SNI and certificate name of the tenant's edge for a channel."""
        return f"{self.id}.{channel}.{EDGE_DOMAIN}"

    def upn(self, user: User) -> str:
        """How the user is called in this tenant."""
        return f"{user.name}@{self.domain}" if user.home is None else f"{user.name}@{user.home}.example"


def _private_origins(domain: str, address: str) -> tuple[Origin, ...]:
    """One application of every kind under `domain`; the web page also answers on the literal `address`."""
    return (
        Origin("portal", f"portal.{domain}", 80, "http", "workplace", address=address),
        Origin("secure", f"secure.{domain}", 443, "tls", "workplace"),
        Origin("reports", f"reports.{domain}", 80, "slow", "workplace"),
        Origin("echo", f"echo.{domain}", 7, "echo", "engineering"),
        Origin("upload", f"upload.{domain}", 9, "sink", "engineering"),
        Origin("echo-udp", f"echo.{domain}", 7, "udp-echo", "engineering"),
        Origin("closed", f"closed.{domain}", 81, "refuse", "engineering"),
        Origin("stream", f"stream.{domain}", 7, "echo", "engineering", on_switch="drain:3"),
        Origin("archive", f"archive.{domain}", 9, "sink", "engineering", on_switch="keep"),
        Origin("vault", f"vault.{domain}", 80, "http", "vault"),
        Origin("yours", f"yours.{domain}", 80, "own", "yours"),
    )


def _private_segments(*catch_all: str) -> tuple[Segment, ...]:
    return (
        Segment("workplace", "Workplace"),
        Segment("engineering", "Engineering tools"),
        Segment("vault", "Vault", assigned=()),
        Segment("yours", "Your own program"),
        Segment("quick-access", "Quick Access", kind="quick_access", catch_all=catch_all),
    )


_ALEX = User("alex")
_ADMIN = User("admin", groups=(), roles=("Global Administrator",))  # changes settings, uses no application
_OVERLAP = "10.20.0.0/16"  # two partners use the same private network: only the active tenant can tell which is meant

CONTOSO = Tenant(
    "contoso", "Contoso", "contoso.example",
    users=(_ALEX, User("robin"), User("casey", groups=()), _ADMIN),
    channels=("private", "internet", "microsoft"),
    segments=(
        *_private_segments("*.contoso.internal", "10.10.0.0/16"),
        Segment("web", "Internet access", channel="internet", hardening="bypass"),
        Segment("office", "Microsoft services", channel="microsoft", hardening="bypass"),
    ),
    origins=(
        *_private_origins("contoso.internal", "10.10.1.10"),
        Origin("news", "www.news.example", 80, "http", "web"),
        Origin("mail", "mail.office.example", 80, "http", "office"),
    ),
    user_types=("member", "guest"),
)
FABRIKAM = Tenant(
    "fabrikam", "Fabrikam", "fabrikam.example",
    users=(User("alex", "guest", home="contoso"), User("frances"), _ADMIN),
    channels=("private",), segments=_private_segments("*.corp.internal", _OVERLAP),
    origins=_private_origins("corp.internal", "10.20.1.10"), user_types=("member", "guest"),
)
WOODGROVE = Tenant(
    "woodgrove", "Woodgrove Bank", "woodgrove.example",
    users=(User("alex", "member", home="contoso"), User("wanda"), _ADMIN),
    channels=("private",), segments=_private_segments("*.corp.internal", _OVERLAP),
    origins=_private_origins("corp.internal", "10.20.1.10"), user_types=("member", "guest"),
)
TAILSPIN = Tenant("tailspin", "Tailspin Toys", "tailspin.example", users=(User("taylor"), _ADMIN))
NORTHWIND = Tenant(
    "northwind", "Northwind Agency", "northwind.example", users=(User("noor"), _ADMIN), cloud="microsoftonline.us",
)
TENANTS = (CONTOSO, FABRIKAM, WOODGROVE, TAILSPIN, NORTHWIND)

PUBLIC_ORIGIN = Origin("public", "public.example", 80, "http", "")
BLOCKED_HOST = "gambling.example"  # the Internet channel's one block rule
LAB_USER = CONTOSO.upn(_ALEX)


def administrator(tenant: Tenant) -> str:
    """Return the name of the account that may change everything in a tenant."""
    return tenant.upn(_ADMIN)
