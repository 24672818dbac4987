# all: ok "\ufffdabc"
# minimum: ok "\ufffdabc"
def main_solution():
    return "\ud800abc"
