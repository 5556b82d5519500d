"""The directory and the forwarding profile that `tunneld init` writes: every key, commented."""

from __future__ import annotations

DIRECTORY = """\
# tunneld: the directory of the identity provider: tenants, users, groups, applications.
# Lines that begin with "# key =" show the default. Relative paths count from this file's directory.

[[tenants]]
# The tenant's id (a GUID), the short name that commands use, and the name that people see.
id = "$tenant_id"
name = "$tenant"
display_name = "$tenant"
# Domains that also name the tenant in addresses of the identity provider.
domains = ["$tenant.example"]
# The pair that signs the certificates of this tenant's users.
ca_certificate = "certs/$tenant/ca.pem"
ca_key = "certs/$tenant/ca.key"
# Forwarding profiles; a user gets the one whose assignments fit best.
forwarding_profiles = ["profile.toml"]
# Seconds that access tokens of this tenant live, [shortest, longest]. Default: the provider's.
# token_lifetime = [3600, 5400]
# Audiences of channels, where no profile names them.
# channels = { private = "$channel_audience" }
# Whether each user must consent on a page before the daemon is served.
# consent_required = false
# Ids of signing keys that must not be trusted any more.
# withdrawn_keys = []
# The cloud that the tenant lives in, and whether it has the licence for Conditional Access.
# cloud = "microsoftonline.com"
# has_p1 = true
# Policies and other objects by kind, each as the admin API would be sent it; what the API writes lies over them.
# objects = { crossTenantAccessDefault = [{ inboundTrust = { isMfaAccepted = true } }] }

[[tenants.applications]]
# The application's id is the audience of its tokens; the profile's rules refer to it.
id = "$application_id"
name = "$application_name"
# Who may use it: users by object id or UPN, groups by id or name, user types ("member", "guest").
# Here $user.
assignments = { users = ["$user_id"], groups = ["staff"], user_types = [] }

[[tenants.groups]]
id = "$group_id"
name = "staff"

[[tenants.users]]
# Object id and user principal name.
oid = "$user_id"
upn = "$user"
display_name = "$user"
# "member" or "guest"; both may come from another organization.
user_type = "member"
# scrypt. The password was printed by `tunneld init`; here is only its hash.
password_hash = "$password_hash"
# Groups by name or id.
groups = ["staff"]
# "active", "disabled" or "pending" (invited, not redeemed yet).
state = "active"
# Roles over the whole tenant, by name or id. Who administers the tenant over the API needs "Global Administrator".
# roles = []
# Mail addresses, and what policies and profiles may ask about, by Graph's names (department, jobTitle, ...).
# mail = "user@mail.example"
# other_mails = []
# attributes = { department = "Sales" }
# An external user has a home in another tenant of this document instead of a password:
# home = { tenant = "partner", oid = "their object id or UPN there" }
# One from outside all tenants signs in by "mail", "federation", "social" or a "personal" account:
# external = { way = "mail", issuer = "mail", subject = "guest@mail.example" }

# Further public clients besides the daemon, which is always known:
# [[clients]]
# id = "00000000-0000-4000-8000-000000000000"
# name = "My client"
# redirect_uris = ["http://127.0.0.1/callback"]
"""

PROFILE = """\
# tunneld: a forwarding profile. Check it with: tunneld profile lint profile.toml
# The order of rules never matters. `tunneld profile schema` prints the whole schema.

schema = 1
id = "$tenant-profile"
tenant = "$tenant"
# Raise it with every change.
version = 1

[assignments]
# Whom the profile is for: users by object id or UPN, groups by id; user_types narrows the two.
# It and the application's own assignment must both name the user. Edges know object ids only.
users = ["$user_id"]  # $user
groups = ["$group_id"]
user_types = []

[channels.private]
# host:port of the edge; the host is also the TLS server name. Further channels: microsoft, internet, entra.
edge = "$tenant_id.private.$domain:443"
# Audience of the channel token, as in edge.toml.
audience = "$channel_audience"
# Dial this instead of resolving the edge's name.
address = "127.0.0.1:$edge_port"

[[applications]]
# Id and name of the application in the directory.
id = "$application_id"
name = "$application_name"
# "enterprise", or "quick_access", whose rules lose against every Enterprise application's.
kind = "enterprise"
# Tokens of the application must have satisfied this authentication context of the tenant, "c1" to "c99".
# authentication_context = "c1"

[[rules]]
id = "$application_name"
channel = "private"
application = "$application_id"
# Smaller goes first; between equals a name goes before an address and the more exact before the wider.
priority = 1000
# Exact names, *.wildcards (any depth, never the apex), addresses, CIDR, ranges a-b.
destinations = ["$host"]
# Ports and ranges like "8000-8100". Left out: all.
ports = [$port]
# Left out: both.
protocols = ["tcp"]
# "tunnel", "bypass" (go direct, final) or "block".
action = "tunnel"
# While the edge is unreachable: "block" or "bypass". Private rules default to block.
hardening = "block"
# When the user switches to another tenant: "terminate", "keep" or "drain:SECONDS".
on_switch = "terminate"

[private_dns]
# Suffixes whose names must never reach a public resolver.
suffixes = []
"""
