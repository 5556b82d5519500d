"""The shell of federated sign-in: sending people to outside providers, and judging what comes back."""
