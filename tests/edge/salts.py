"""What a stack file says of a passphrase, `encryptionsalt`, as the engine makes it."""

OF_A_TEAM = "v1:c2FsdHNhbHQ=:v1:AAAAAAAAAAAAAAAA:zy1m3MVDG0A1uRN6wtJospqk5f6wVA=="
EMPTY = "v1:YrPiGN3BC9s=:v1:6Svd1icJJqKBF+pc:bj4UHN56uek+xeDJAKt7ugZ7VW9dgg=="

#: Of the passphrase `fjord-former`.
OF_FORMER = "v1:Zm9ybWVyMDA=:v1:AAAAAAAAAAAAAAAA:0SeTaAc+IL5dY3YCkthyAL82KG2k+Q=="
