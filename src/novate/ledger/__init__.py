"""The ledger: the exchange's history in SQL, written by a follower and read by whoever asks.

SQL is disposable here: dropped and rebuilt from the journal it comes out equal, row by row. So
nothing of it ever decides an answer of the exchange.

    schema      the tables; views are made for people
    database    URLs, connections, isolation, migrations
    decoding    commands and events of the journal as arrays, and the names in them
    projection  what a batch of them says, as rows of every table
    store       writes rows and the last seq in one transaction: exactly once
    queries     what the history API asks; rendering writes its JSON
    digest      one hash over all rows
"""
