# all: exception PermissionError
import os
import shutil

def main_solution():
    shutil.copy2(os.__file__, "/tmp/copy")
