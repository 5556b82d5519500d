"""Identity providers outside all tenants that a tenant trusts for its guests: SAML, WS-Federation, OpenID Connect."""
