# all: exception PermissionError
# minimum: no_result
import os

def main_solution():
    os.execv("/usr/bin/env", ["env", "true"])
