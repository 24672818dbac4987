# all: missing_module surely_not_installed
# minimum: missing_module surely_not_installed
import surely_not_installed.inner

def main_solution():
    return 1
