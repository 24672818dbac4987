# all: exception ModuleNotFoundError
# minimum: exception ModuleNotFoundError
def main_solution():
    raise ModuleNotFoundError("no such module", name="<b>")
