"""A Binance spot market on this exchange: its depth as resting orders, its trades as takers.

The flow of a message:

    capture.py or live.py    a line of a file, a frame of the stream       bytes in
    messages.py              decoded, decimals as text                     messages
    depth.py                 the U/u rule: held, stale, applied, gap       snapshot or diff to apply
    mirror.py                what the book must become                     operations
    order_entry.py           sent, retried, answered                       outcomes
    play.py                  conducts: one batch at a time, in order
"""
