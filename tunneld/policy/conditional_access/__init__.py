"""Conditional Access: policies as Graph has them, compiled, evaluated and linted. Pure."""
