"""Guests: inviting them, their redemption, their ways to sign in without an account, and how they leave."""
