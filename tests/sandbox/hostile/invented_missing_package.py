# all: exception ModuleNotFoundError
# minimum: exception ModuleNotFoundError
def main_solution():
    raise ModuleNotFoundError("no module named json", name="json")
