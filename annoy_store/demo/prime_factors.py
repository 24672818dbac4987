"""Factorisation by trial division."""


def prime_factors(n: int) -> dict:
    """Break a number into its prime factors, each with its exponent."""
    if n < 2:
        raise ValueError("only numbers from 2 on have prime factors")
    factors = {}
    divisor = 2
    while divisor * divisor <= n:
        while n % divisor == 0:
            factors[str(divisor)] = factors.get(str(divisor), 0) + 1
            n //= divisor
        divisor += 1
    if n > 1:
        factors[str(n)] = factors.get(str(n), 0) + 1
    return factors
