# all: exception PermissionError
import subprocess

def main_solution():
    return subprocess.run(["echo", "hi"], capture_output=True, text=True).stdout
