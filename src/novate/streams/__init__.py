"""Live streams: market data and order updates, fed by what was applied and never by the writer.

`publisher` gathers and publishes, `subscriptions` says who receives what, `consumers` what happens
to those who read too slowly, `frames` is the form of what is sent.
"""
