# all: ok "denied"
def main_solution():
    try:
        return open("@OUTSIDE@/secret.txt").read()
    except OSError:
        return "denied"
