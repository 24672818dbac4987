class CashBook:
    """The book of a small cash desk."""

    FEE = 2

    def __init__(self, opening=100):
        self.balance = opening
        self.refused = []

    def _pay(self, amount):
        if amount + self.FEE > self.balance:
            self.refused.append(amount)
        else:
            self.balance -= amount + self.FEE

    def settle(self, amounts):
        """Book a list of amounts, deposits as positive and payments as negative numbers.

        A payment costs a fee, and it is refused when the money in the desk does not cover both.
        """
        for amount in amounts:
            if amount >= 0:
                self.balance += amount
            else:
                self._pay(-amount)
        return {"balance": self.balance, "refused": self.refused}


if __name__ == "__main__":
    book = CashBook()
    print(book.settle([20, -90, -40, 15, -30]))
    print(CashBook().settle([-60, 5, -44, -12]))
