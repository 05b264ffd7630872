"""`make bench`: measures the exchange on this machine and writes bench/results/*.json."""
