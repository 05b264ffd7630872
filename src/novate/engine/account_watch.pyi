from collections.abc import Sequence

from novate.engine.statements import Accounts

Owed = Sequence[tuple[int, int]]
Fact = tuple[int, int, int, Owed]
Noted = tuple[
    str,
    int,
    list[Fact],
    list[tuple[int, int, int]],
    list[tuple[int, int, int, int, int, int, int, int]],
]

class AccountWatch:
    def __init__(self, accounts: Accounts) -> None: ...
    def watch(self, client_id: str) -> None: ...
    def unwatch(self, client_id: str) -> None: ...
    def take(self) -> list[Noted]: ...
    def settling(self, client_id: str) -> list[tuple[int, int, Owed]]: ...
