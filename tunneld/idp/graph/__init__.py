"""The admin API of Microsoft Graph's shape, at /v1.0 and /beta.

It is one table. A row (`resource.ResourceType`) names a path, the kind of object behind it (`policy/kinds.py`), the
permission strings, the audit log's words and a few hooks; listing, reading, creating, merging, replacing and deleting
are the same code for every row, and so are OData, ETags, step-up, audit and the OpenAPI document. What is no object
of its own (an action, a relation, a log) is an `Operation` beside the table.

A new kind of object: add its `ObjectKind` to `policy/kinds.py`, then a `ResourceType` to one of the `rows_*.py` (or a
tuple of your own in `table.py`). `docs/admin-api.md` has an example and the rules that every row obeys.
"""
