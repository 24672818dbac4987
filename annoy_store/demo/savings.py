def savings_plan(deposit, rate, years):
    """Work out what a yearly deposit grows to: interest is paid at the end of every year.

    Args:
        deposit (float): what is paid in at the start of each year
        rate (float): interest per year, 0.05 for five percent
        years (int): how many years it runs

    Returns:
        float: the balance at the end
    """
    balance = 0.0
    for _ in range(years):
        balance += deposit
        balance += balance * rate
    return round(balance, 2)


if __name__ == "__main__":
    print(savings_plan(120.0, 0.03, 10))
