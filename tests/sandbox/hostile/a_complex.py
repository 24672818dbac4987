# all: not_json complex
# minimum: not_json complex
def main_solution():
    return 1j
