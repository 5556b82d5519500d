"""Guests from invitation to offboarding: external collaboration settings, redemption, synchronization. Pure."""
