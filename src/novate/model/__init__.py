"""The words of the exchange: commands, events, rejects, instruments, errors. No I/O, no clock."""
