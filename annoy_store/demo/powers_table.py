def powers_table(base: int, height: int) -> list:
    """Write the table of all powers of a base, one line for each, with the digits of each power."""
    table = []
    for exponent in range(40 + height):
        power = base ** (exponent + 20)
        table.append({"exponent": exponent, "power": str(power), "digits": len(str(power))})
    return table
