# all: ok "denied"
def main_solution():
    try:
        return len(open("/etc/shadow").read())
    except OSError:
        return "denied"
