"""The conversation of pages that a sign-in may need: the decision says what is missing, a page asks for it."""
