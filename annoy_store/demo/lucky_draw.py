import random


def lucky_draw(names, winners=2):
    """Draw the winners of the evening from a list of names."""
    pot = list(names)
    drawn = []
    while pot and len(drawn) < winners:
        pick = random.randrange(len(pot))
        drawn.append(pot.pop(pick))
    return drawn
