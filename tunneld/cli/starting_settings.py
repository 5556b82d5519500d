"""The settings files that `tunneld init` writes: every key, commented. A key after `#` shows its default."""

from __future__ import annotations

DAEMON = """\
# tunneld: the daemon's settings. Start it with: tunneld run --config daemon.toml
# Lines that begin with "# key =" show the default. Relative paths count from this file's directory.

[daemon]
# Directory of the daemon's state, made 0700: encrypted refresh tokens, the selected tenant, the control socket.
state = "state"
# Where the mixed SOCKS5, SOCKS4a and HTTP proxy listens. Port 0 takes a free one; the ready line says which.
proxy = "127.0.0.1:1080"
# The tenant whose account signs in: short name, domain or id.
home_tenant = "$tenant"
# Whether this machine may be used as an external user of other tenants. Off: not one request leaves for it.
# guest_access_enabled = false
# How tenants share the daemon. exclusive: one at a time; a switch retires every tunnel of the one it leaves.
# mode = "exclusive"
# For a machine that belongs to another tenant: that tenant is active without a switch, with all its channels.
# bound_tenant = "partner"

[idp]
# Base address of the identity provider, https only.
url = "https://127.0.0.1:$idp_port"
# Authorities that may vouch for it, instead of the system's.
ca = "certs/idp/ca.pem"

[trust]
# Authorities that edges may have. Left out: the identity provider's word is enough.
ca = "certs/bundle.pem"

[hosts]
# Names that direct flows resolve without DNS: "address" or "address:port", loopback included.
# "public.example" = "127.0.0.1:8080"

[allow]
# Loopback or link-local address:port pairs that direct flows may reach. All others are refused.
# destinations = []

# Ask applications for a user name and password. Keep this file 0600 then.
# [proxy_auth]
# user = "app"
# password = "choose one"

# The organization that owns this machine or network names its policy about accounts of others, tenant id and policy id:
# [tenant_restrictions]
# policy = "00000000-0000-4000-8000-000000000000:00000000-0000-4000-8000-000000000000"

[refresh]
# Seconds between two looks for tenants that invited the user; unused while guest access is off.
# discovery_s = 300.0
# Seconds between two conditional requests for the active tenant's profile.
# profile_s = 30.0

[limits]
# Concurrent flows of all applications.
# flows = 8192
# Closed flows that `tunneld flows` still shows.
# closed_flows = 2000
# Seconds an application has to finish its SOCKS or HTTP request.
# handshake_s = 10.0
# Seconds that preparing a switch may take, waiting for the user not counted.
# prepare_s = 20.0
# Seconds the user has to answer a page of the identity provider.
# interaction_s = 600.0
# Seconds that live flows get to end by themselves when the daemon stops.
# grace_s = 1.0
"""

EDGE = """\
# tunneld: the edge's settings. Start it with: tunneld edge --config edge.toml
# Lines that begin with "# key =" show the default. Relative paths count from this file's directory.

[edge]
# Address and port for tunnels, or a list of them.
listen = "127.0.0.1:$edge_port"
# Edges are called <tenant id>.<channel>.<domain>, in certificates and in the TLS server name.
domain = "$domain"
# File that gets one JSON line when a flow opens and one when it ends.
records = "edge.flows.jsonl"
# A second listener for foreign HTTP/2 clients and proxies, with a full token in every request. Default: off.
# interop = "127.0.0.1:8446"
# Prefer AES-128-GCM to AES-256-GCM: 7 to 10 % less CPU on bulk transfers.
# prefer_aes_128 = true

[connector]
# Private destination to the address that plays it, loopback included.
map = { "$application" = "$target" }
# Destinations (as in map) that want a PROXY protocol v2 header with the user's address.
# proxy_protocol = []
# Loopback, link-local or otherwise forbidden address:port pairs that flows may name themselves.
# allow = []
# Resolvers for destinations that are not mapped. Default: those of /etc/resolv.conf.
# nameservers = []
# Seconds a connection to an origin may take.
# connect_s = 5.0
# After so many failures in a row an origin is refused at once,
# breaker_failures = 5
# for this many seconds.
# breaker_s = 5.0

[keys]
# Seconds between two looks at the issuer's signing keys.
# refresh_s = 3600.0
# Least seconds between two looks that a token with an unknown key id causes.
# unknown_s = 300.0
# Least seconds before a failed look is repeated.
# retry_s = 5.0
# Seconds that keys are used while the issuer cannot be reached.
# lifetime_s = 86400.0
# Seconds a look may take.
# timeout_s = 5.0

[limits]
# Tunnel connections at a time, and flows in one of them.
# connections = 1024
# streams = 1000
# Flows of everybody, of one user, to one application.
# flows = 8192
# flows_per_user = 4096
# flows_per_application = 4096
# Seconds from accepting a connection to an accepted session.
# handshake_s = 10.0
# Seconds that a flow may stay silent after one side closed.
# half_close_s = 60.0
# Seconds that live flows get to end by themselves when the edge stops.
# grace_s = 1.0

# One table like this for each tenant that the edge serves.
[[tenant]]
# Short name, as it appears in records, and the tenant's id, as in its tokens.
name = "$tenant"
id = "$tenant_id"
# The one issuer that is believed, where it publishes its keys, and the authority of its https.
issuer = "https://127.0.0.1:$idp_port/$tenant_id/v2.0"
jwks_url = "https://127.0.0.1:$idp_port/$tenant_id/discovery/v2.0/keys"
trust = "certs/idp/ca.pem"
# Where it judges tenant restrictions, for connections that name a policy. Left out: those are refused.
restrictions_url = "https://127.0.0.1:$idp_port/$tenant_id/tunnel/v1/restrictions"
# The authority that signs users' certificates, and the edge's own certificate and key.
client_ca = "certs/$tenant/ca.pem"
certificate = "certs/$tenant/edge.pem"
key = "certs/$tenant/edge.key"
# Forwarding profiles of the tenant.
profiles = ["profile.toml"]
# Channels that this edge offers, each with the audience of its channel tokens (as in the profile).
channels = { private = "$channel_audience" }
# Client applications whose tokens are taken. Default: the daemon.
# clients = ["7d2f3c9e-6b1a-4e5d-9a40-1f6c8e2b5a10"]
# Origins of this tenant alone: a [tenant.connector] table with the keys of [connector].
# connector = { }
"""

IDP = """\
# tunneld: the identity provider's settings. Start it with: tunneld idp --config idp.toml
# Lines that begin with "# key =" show the default. Relative paths count from this file's directory.

# Address and port of the https listener.
listen = "127.0.0.1:$idp_port"
# The issuer's base address, where it differs from the listener's.
# public_url = "https://login.example"
# Certificate chain and key of the listener.
certificate = "certs/idp/idp.pem"
key = "certs/idp/idp.key"
# Tenants, users, groups and applications. A change of the file is taken up while the program runs.
directory = "directory.toml"
# SQLite file of sessions and grants. Signing keys and records lie beside it.
state = "state/idp.sqlite"
# A PostgreSQL server instead of that file; records and keys still lie beside it.
# database = "postgresql://tunneld@localhost/tunneld"
# The edges' records of flows (records in edge.toml), for the traffic log of the admin API.
# traffic_logs = []
# Reverse proxies whose X-Forwarded-For is believed: addresses or networks.
# trusted_proxies = []
# Only for tests: whoever signs in may name place and risk in x-simulated-address, -country and -risk.
# trust_simulation_headers = false

[lifetimes]
# Seconds. An access token lives a random time between the two.
# access_token = [3600, 5400]
# The same for clients that handle claims challenges; it wants edges that hear of revocations. Default: as all others.
# continuous_access_token = [72000, 100800]
# The browser's session, a refresh token, a client certificate (at most 8 hours), a device code.
# session = 1209600
# refresh_token = 7776000
# certificate = 28800
# device_code = 900
# How long a signing key signs, and how long it is published before that.
# key = 2592000
# key_ahead = 86400
# How long sign-in and audit records are kept.
# log = 2592000

[federation]
# Hosts outside that may be asked: identity providers of partners, connectors of user flows. None: nothing outside is.
# hosts = []
# Authorities that may vouch for them (the system's), a DNS server for TXT records (the system's), seconds to answer.
# trust = "certs/outside.pem"
# resolver = "127.0.0.1:5353"
# timeout_s = 5.0
"""
