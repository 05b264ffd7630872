"""The gateway: requests come in, are validated and throttled, and become commands."""
