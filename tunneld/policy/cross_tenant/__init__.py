"""Cross-tenant access settings: documents as Graph has them, effective values, tenant restrictions. Pure."""
