COINS = (50, 20, 10, 5, 2, 1)


def give_change(price: int, paid: int) -> dict:
    """Find the coins that a machine gives back, always the greatest coin that still fits.

    :param price: what the article costs
    :param paid: what was put in
    """
    change = paid - price
    coins = {}
    if change < 0:
        return {"missing": -change}
    for coin in COINS:
        while change >= coin:
            coins[str(coin)] = coins.get(str(coin), 0) + 1
            change -= coin
    return coins


def test_change():
    assert give_change(63, 100) == {"20": 1, "10": 1, "5": 1, "2": 1}
    assert give_change(12, 10) == {"missing": 2}
    assert give_change(3, 90) == {"50": 1, "20": 1, "10": 1, "5": 1, "2": 1}
