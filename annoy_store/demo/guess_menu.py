def menu():
    while True:
        choice = input("1) new game  2) quit > ")
        if choice == "2":
            break
        play(int(input("how many rounds? ")))


def play(rounds):
    points = 0
    for _ in range(rounds):
        answer = input("heads or tails? ")
        if answer == "heads":
            points += 1
    print("points:", points)


menu()
